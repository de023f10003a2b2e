"""Contact sheets of the whole world."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from PIL import Image, ImageDraw

from .noise import SIZE
from .render import render_photo, render_style
from .scene import sample_scene
from .styles import HELD_OUT_STYLES, STYLES, sample_style
from .subjects import HELD_OUT_SUBJECTS, SUBJECTS
from .triplets import sample_triplet

_GAP, _TITLE = 4, 16
_INK, _PAPER = (40, 40, 44), (250, 250, 248)

Cell = tuple[str, np.ndarray]


def subjects_sheet(seed: int = 0, each: int = 3, columns: int = 12) -> Image.Image:
    """Return a sheet with `each` individuals of every class as photos; a star marks classes kept from training."""

    def cells() -> Iterator[Cell]:
        rng = np.random.default_rng(seed)
        for name in SUBJECTS:
            for _ in range(each):
                yield _starred(name, HELD_OUT_SUBJECTS), render_photo(sample_scene(rng, name))

    return _sheet(list(cells()), columns)


def styles_sheet(seed: int = 0, each: int = 1, columns: int = 7) -> Image.Image:
    """Return a sheet with `each` variants of every style; a star marks styles kept from training."""

    def cells() -> Iterator[Cell]:
        rng = np.random.default_rng(seed)
        for name in STYLES:
            for _ in range(each):
                yield _starred(name, HELD_OUT_STYLES), render_style(sample_scene(rng), sample_style(rng, name))

    return _sheet(list(cells()), columns)


def individual_sheet(seed: int = 0, subject: str = "cat", count: int = 14, columns: int = 7) -> Image.Image:
    """Return a sheet of one individual: photos and styled pictures, each in another pose."""

    def cells() -> Iterator[Cell]:
        rng = np.random.default_rng(seed)
        scene = sample_scene(rng, subject)
        yield "photo", render_photo(scene)
        for name in rng.permutation(STYLES)[: count - 1].tolist():
            yield name, render_style(scene.repose(rng), sample_style(rng, name))

    return _sheet(list(cells()), columns)


def hybrids_sheet(seed: int = 0, count: int = 16, columns: int = 8) -> Image.Image:
    """Return a sheet of `count` hybrids: the photo of each and, elsewhere and in a style, its picture."""

    def cells() -> Iterator[Cell]:
        rng = np.random.default_rng(seed)
        for _ in range(count):
            triplet = sample_triplet(rng, "shifted", hybrids=1.0)
            yield " + ".join(triplet.content.individual.classes), render_photo(triplet.content)
            yield triplet.style.name, render_style(triplet.target, triplet.style)

    return _sheet(list(cells()), columns)


def _starred(name: str, kept: tuple[str, ...]) -> str:
    return f"{name} *" if name in kept else name


def _sheet(cells: list[Cell], columns: int) -> Image.Image:
    wide, tall = SIZE + _GAP, SIZE + _GAP + _TITLE
    rows = -(-len(cells) // columns)
    sheet = Image.new("RGB", (_GAP + wide * columns, _GAP + tall * rows), _PAPER)
    pen = ImageDraw.Draw(sheet)
    for number, (title, picture) in enumerate(cells):
        left, top = _GAP + wide * (number % columns), tall * (number // columns)
        pen.text((left + SIZE // 2, top + _TITLE // 2 + 1), title, _INK, anchor="mm")
        sheet.paste(Image.fromarray(picture), (left, top + _TITLE))
    return sheet
