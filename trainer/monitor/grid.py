"""A sheet of labelled pictures: what was given, what was to be learnt, and what was drawn."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from math import ceil, sqrt
from typing import NamedTuple

from PIL import Image, ImageDraw, ImageFont, ImageOps

__all__ = ["CELL", "Cell", "Strip", "sheet"]

CELL = 256
"""Side of a picture's place."""

TEXT, TITLE = 13, 15
_LINE, _MARGIN, _CAPTION_LINES = 18, 8, 3
_PAPER, _INK, _FAINT, _FRAME = (255, 255, 255), (20, 20, 20), (110, 110, 110), (225, 225, 225)

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


class Cell(NamedTuple):
    """The place of a picture, or of several."""

    pictures: Sequence[Image.Image]
    label: str


class Strip(NamedTuple):
    """Pictures side by side, and the caption that goes with them."""

    cells: Sequence[Cell]
    caption: str


def sheet(title: str, columns: Sequence[str], strips: Sequence[Strip]) -> Image.Image:
    """Return the strips below one another, with names of the columns on top.

    Pictures keep their proportions. A label is cut to the width of its picture, a caption after three lines.
    """
    small, large = ImageFont.load_default(TEXT), ImageFont.load_default(TITLE)
    width = _MARGIN + len(columns) * (CELL + _MARGIN)
    captions = [_lines(strip.caption, small, width - 2 * _MARGIN, _CAPTION_LINES) for strip in strips]
    top = 2 * _LINE + 2 * _MARGIN
    heights = [CELL + _LINE * (1 + len(lines)) + 2 * _MARGIN for lines in captions]
    paper = Image.new("RGB", (width, top + sum(heights)), _PAPER)
    pen = ImageDraw.Draw(paper)
    pen.text((_MARGIN, _MARGIN), _lines(title, large, width - 2 * _MARGIN, 1)[0], _INK, large)
    for number, column in enumerate(columns):
        pen.text((_left(number) + CELL / 2, _MARGIN + _LINE), column, _FAINT, small, anchor="ma")
    for strip, lines, height in zip(strips, captions, heights, strict=True):
        for number, cell in enumerate(strip.cells):
            left = _left(number)
            pen.rectangle((left, top, left + CELL - 1, top + CELL - 1), outline=_FRAME)
            for (x, y, side), picture in zip(_places(len(cell.pictures)), cell.pictures, strict=True):
                shown = ImageOps.contain(picture, (side, side), Image.Resampling.LANCZOS)
                middle = (left + x + (side - shown.width) // 2, top + y + (side - shown.height) // 2)
                paper.paste(shown, middle)
            pen.text((left, top + CELL + 1), _lines(cell.label, small, CELL, 1)[0], _FAINT, small)
        for number, line in enumerate(lines, start=1):
            pen.text((_MARGIN, top + CELL + number * _LINE), line, _INK, small)
        top += height
    return paper


def _left(number: int) -> int:
    return _MARGIN + number * (CELL + _MARGIN)


def _places(count: int) -> list[tuple[int, int, int]]:
    """Return left, top and side of so many pictures in one cell."""
    along = ceil(sqrt(max(1, count)))
    side = CELL // along
    above = (CELL - ceil(count / along) * side) // 2
    return [(number % along * side, above + number // along * side, side) for number in range(count)]


def _lines(text: str, font: Font, width: int, most: int) -> list[str]:
    """Break a text between words into lines of a width; what does not fit into the last one is cut."""
    text = " ".join(text.encode("utf-8", "replace").decode("utf-8").split())
    found: list[str] = []
    while len(found) < most - 1:
        fits = _fitting(text, font, width)
        if fits == len(text):
            break
        # A word that is longer than a line, and a text without spaces, are broken anywhere.
        end = text.rfind(" ", 0, fits + 1)
        end = end if end > 0 else fits
        found, text = [*found, text[:end]], text[end:].strip()
    fits = _fitting(text, font, width)
    return [*found, text if fits == len(text) else text[: _fitting(text, font, width, "...")].rstrip() + "..."]


def _fitting(text: str, font: Font, width: int, end: str = "") -> int:
    """Return how many letters of a text fit into a width together with what stands at its end."""
    letters = range(1, min(len(text), width) + 1)
    return max(1, bisect_right(letters, width, key=lambda n: ceil(font.getlength(text[:n] + end)))) if text else 0
