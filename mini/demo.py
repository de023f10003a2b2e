"""The demonstration picture: bundled references, and what USO-mini draws from them in three columns."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from .example_pictures import examples
from .model import load_mini
from .model.generate import generate

__all__ = ["COLUMNS", "GROUPS", "run"]

COLUMNS = ("content", "style", "subject only", "style and words", "both")
"""What the picture shows from left to right."""

GROUPS = {
    "new individuals of classes, and in styles, that it was trained on": ("5", "6", "7", "8"),
    "classes and styles that were kept from it": ("1", "2", "3", "4"),
}
"""What the bundled examples are, from top to bottom, and their names."""

_TILE, _GAP, _HEAD = 192, 8, 28


def run(out: str | Path, seed: int = 3407, steps: int = 25) -> None:
    """Draw every bundled example and write one picture with a row for each.

    With a content reference the prompt is empty, so everything comes from the references. Without one, the prompt names
    the content.

    Args:
        out: PNG file to write.
        seed: of the noise, the same in every column.
        steps: Euler steps.
    """
    models = load_mini()
    found = examples()
    rows = [found[name] for names in GROUPS.values() for name in names]
    contents, styles, prompts = (list(column) for column in zip(*rows, strict=True))
    empty = [""] * len(rows)
    columns = [
        contents,
        styles,
        generate(models, empty, contents=[contents], seed=seed, steps=steps),
        generate(models, prompts, styles=[styles], seed=seed, steps=steps),
        generate(models, empty, styles=[styles], contents=[contents], seed=seed, steps=steps),
    ]
    _sheet(columns).save(out)


def _sheet(columns: list[list[Image.Image]]) -> Image.Image:
    step = _TILE + _GAP
    height = _HEAD * (1 + len(GROUPS)) + step * len(columns[0])
    sheet = Image.new("RGB", (_GAP + step * len(columns), height), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(16)
    for x, title in enumerate(COLUMNS):
        draw.text((_GAP + step * x + _TILE / 2, _HEAD / 2), title, fill="black", font=font, anchor="mm")
    top, rows = _HEAD, zip(*columns, strict=True)
    for group, names in GROUPS.items():
        draw.text((_GAP, top + _HEAD / 2), group, fill="black", font=font, anchor="lm")
        top += _HEAD
        for pictures in islice(rows, len(names)):
            for x, picture in enumerate(pictures):
                sheet.paste(picture.resize((_TILE, _TILE), Image.Resampling.LANCZOS), (_GAP + step * x, top))
            top += step
    return sheet
