"""Typed text, which may come with a stranger's graph: read in linear time, refused in one short line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from comfyui_uso.uso_model.dials.blocks import _PART, parse_blocks
from comfyui_uso.uso_model.dials.curves import curve_values
from comfyui_uso.uso_model.errors import UserError

from ...machine import at_most

LONG = 100_000
READERS: dict[str, Callable[[str], Any]] = {
    "blocks": lambda text: parse_blocks(text, 19, 38),
    "curve": curve_values,
}
TEXTS = {
    "digits": "d0:" + "1" * LONG + "x",
    "digits and a dot": "d0:" + "1" * (LONG // 2) + "." + "1" * (LONG // 2) + "x",
    "block number": "d" + "1" * LONG + ":1",
    "blanks": " " * LONG + "x",
    "commas": "," * LONG,
    "parts": "d0:1," * (LONG // 5),
    "numbers": "1," * (LONG // 2),
    "brackets": "[" * LONG,
    "signs": "d0:" + "+-" * (LONG // 2),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("text", TEXTS)
def test_long_texts_are_refused_at_once(reader: str, text: str) -> None:
    with at_most(0.2), pytest.raises(UserError) as caught:
        READERS[reader](TEXTS[text])
    assert len(str(caught.value)) < 300 and "\n" not in str(caught.value)


@pytest.mark.parametrize("text", TEXTS)
def test_a_part_is_read_in_linear_time_whatever_its_length(text: str) -> None:
    """The cap on the length is no excuse for a slow pattern."""
    with at_most(0.2):
        _PART.fullmatch(TEXTS[text])


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("text", ["d0:" + "1" * 3000 + "x", "loud" + "x" * 3000, "d" + "9" * 3000 + ":1"])
def test_an_error_quotes_little(reader: str, text: str) -> None:
    with pytest.raises(UserError) as caught:
        READERS[reader](text)
    assert "..." in str(caught.value) and len(str(caught.value)) < 300


def test_no_weight_is_infinite() -> None:
    for text in ("d0:" + "9" * 400, "d0:-" + "9" * 400):
        with pytest.raises(UserError, match="block weights"):
            parse_blocks(text, 19, 38)
    for text in ("9" * 400, "inf", "nan", "1e999"):
        with pytest.raises(UserError, match="constant"):
            curve_values(text)


@pytest.mark.parametrize(
    ("text", "weight"), [("d0:1.5", 1.5), ("d0:.5", 0.5), ("d0:2.", 2.0), ("d0:-1", -1.0), ("d0:+0", 0.0)]
)
def test_numbers_may_be_written_in_any_way(text: str, weight: float) -> None:
    weights = parse_blocks(text, 19, 38)
    assert weights is not None and weights.double[0] == weight


def test_the_longest_useful_texts_are_read() -> None:
    every = ", ".join(f"{kind}{n}:0.{n}" for kind, count in (("d", 19), ("s", 38)) for n in range(1, count))
    assert parse_blocks(every, 19, 38) is not None
    assert len(curve_values(", ".join(["0.5", "0.25"] * 300))) == 600
