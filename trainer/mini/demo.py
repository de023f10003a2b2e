"""The demonstration picture: bundled references in, four columns of USO-mini's answers out."""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from ...uso_model import mini
from ...uso_model.mini.pipeline import generate

__all__ = ["COLUMNS", "examples", "run"]

COLUMNS = ("content", "style", "subject only", "style only", "both")
"""What the picture shows from left to right."""

EXAMPLES = Path(__file__).parent / "examples"

_TILE, _GAP, _HEAD = 192, 8, 28


def examples(folder: Path = EXAMPLES) -> list[tuple[Image.Image, Image.Image]]:
    """Return the bundled pairs of a content and a style picture, none of which the miniature was trained on."""
    names = sorted(path.name.removesuffix("_content.png") for path in folder.glob("*_content.png"))
    return [
        tuple(Image.open(folder / f"{name}_{part}.png").convert("RGB") for part in ("content", "style"))  # type: ignore[misc]
        for name in names
    ]


def run(out: str | Path, seed: int = 3407, steps: int = 25) -> None:
    """Draw every bundled pair and write one picture with a row for each.

    The prompt is empty throughout: all that the outputs know comes from the references.

    Args:
        out: PNG file to write.
        seed: of the noise, the same in every column.
        steps: Euler steps.
    """
    models = mini.load()
    pairs = examples()
    contents, styles = ([pair[i] for pair in pairs] for i in range(2))
    prompts = [""] * len(pairs)
    columns = [
        contents,
        styles,
        generate(models, prompts, contents=[contents], seed=seed, steps=steps),
        generate(models, prompts, styles=[styles], seed=seed, steps=steps),
        generate(models, prompts, styles=[styles], contents=[contents], seed=seed, steps=steps),
    ]
    _sheet(columns).save(out)


def _sheet(columns: list[list[Image.Image]]) -> Image.Image:
    step = _TILE + _GAP
    sheet = Image.new("RGB", (_GAP + step * len(columns), _HEAD + step * len(columns[0])), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(16)
    for x, (title, pictures) in enumerate(zip(COLUMNS, columns, strict=True)):
        left = _GAP + step * x
        draw.text((left + _TILE / 2, _HEAD / 2), title, fill="black", font=font, anchor="mm")
        for y, picture in enumerate(pictures):
            sheet.paste(picture.resize((_TILE, _TILE), Image.Resampling.LANCZOS), (left, _HEAD + step * y))
    return sheet
