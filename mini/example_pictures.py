"""The bundled example pictures, found by their files: a pair of references in each, and the content in words."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["EXAMPLES", "TRAINING_PICTURES", "Example", "example", "example_names", "examples"]

EXAMPLES = Path(__file__).parent / "examples"
"""Folder of `N_style.png`, `N_content.png`, `N_prompt.txt` and `N_name.txt`."""

TRAINING_PICTURES = EXAMPLES / "training"
"""Folder of sixteen pictures in one style of the procedural world, which the miniature has not seen, with captions."""


class Example(NamedTuple):
    """One pair of references, neither of which the miniature has seen."""

    content: Image.Image
    style: Image.Image
    prompt: str
    """The content in words."""


def example_names(folder: Path = EXAMPLES) -> dict[str, str]:
    """Return the number of every example by the name that a person reads; without a file for it, that is its prompt."""
    numbers = [path.name.removesuffix("_content.png") for path in folder.glob("*_content.png")]
    files = {number: folder / f"{number}_name.txt" for number in sorted(numbers, key=lambda n: (len(n), n))}
    return {_text(file) if file.is_file() else _text(folder / f"{n}_prompt.txt"): n for n, file in files.items()}


def example(number: str, folder: Path = EXAMPLES) -> Example:
    """Return one example by its number."""
    from PIL import Image  # not above: a list of names needs no pictures

    def picture(part: str) -> Image.Image:
        return Image.open(folder / f"{number}_{part}.png", formats=("PNG",)).convert("RGB")

    return Example(picture("content"), picture("style"), _text(folder / f"{number}_prompt.txt"))


def examples(folder: Path = EXAMPLES) -> dict[str, Example]:
    """Return the bundled examples by number."""
    return {number: example(number, folder) for number in example_names(folder).values()}


def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8").strip()
