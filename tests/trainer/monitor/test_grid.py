"""The grid is readable whatever the captions and pictures are."""

from __future__ import annotations

import pytest
from comfyui_uso.trainer.monitor.grid import CELL, Cell, Strip, _lines, sheet
from PIL import Image, ImageChops, ImageFont

FONT = ImageFont.load_default(13)


def of(colour, size=(64, 64)):
    """Return a picture of one colour."""
    return Image.new("RGB", size, colour)


@pytest.mark.parametrize("text", ["one " * 300, "x" * 900, "a\tb\n" * 100, "\u96ea" * 500, "caf\udce9 " * 90, "", " "])
def test_captions_fit_or_are_cut(text):
    lines = _lines(text, FONT, 400, 3)
    assert 1 <= len(lines) <= 3 and all(FONT.getlength(line) <= 400 for line in lines)
    assert lines[-1].endswith("...") == (len(text.split()) > 0)


def test_a_caption_is_broken_between_words():
    words = "a watercolour of a very small lighthouse on a cliff"
    lines = _lines(words, FONT, 200, 3)
    assert len(lines) == 2 and " ".join(lines) == words
    assert _lines("short", FONT, 200, 3) == ["short"] and _lines("", FONT, 200, 3) == [""]


def test_pictures_keep_their_proportions_and_stand_in_their_columns():
    wide, plain = of((250, 0, 0), (128, 32)), of((0, 0, 250))
    cells = [Cell([], "none"), Cell([wide], "wide"), Cell([plain, of((0, 250, 0)), plain], "three")]
    found = sheet("run, step 3", ("content", "style", "drawn"), [Strip(cells, "a caption")])
    content, style, drawn = (found.crop((left, 52, left + CELL, 52 + CELL)) for left in (8, 272, 536))
    assert content.getpixel((128, 128)) == (255, 255, 255)
    assert style.getpixel((128, 128)) == (250, 0, 0) and style.getpixel((128, 90)) == (255, 255, 255)
    at = [drawn.getpixel(place) for place in ((64, 64), (192, 64), (64, 192), (192, 192))]
    assert at == [(0, 0, 250), (0, 250, 0), (0, 0, 250), (255, 255, 255)]


def test_every_label_and_caption_is_written():
    def drawn(title="t", column="c", label="l", caption="p"):
        return sheet(title, (column,), [Strip([Cell([of("red")], label)], caption)])

    plain = drawn()
    for change in ({"title": "u"}, {"column": "d"}, {"label": "m"}, {"caption": "q"}):
        assert ImageChops.difference(plain, drawn(**change)).getbbox() is not None
