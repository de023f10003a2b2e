"""Texts of strangers as messages quote them."""

from __future__ import annotations

import pytest
from comfyui_uso.uso_model.untrusted import named, quoted


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\nb\t c", "a b c"),
        ("\x1b[31mred\x07", r"\x1b[31mred\x07"),
        ("\x9b2J", r"\x9b2J"),
        ("a\0b", r"a\0b"),
        ("\ud800", r"\ud800"),
        ("caf\u00e9 \U0001f600", "caf\u00e9 \U0001f600"),
    ],
)
def test_nothing_that_a_terminal_obeys_is_left(text: str, shown: str) -> None:
    assert quoted(text) == named(text) == shown


def test_long_texts_are_cut() -> None:
    assert quoted("x" * 100) == "x" * 76 + " ..." and quoted("x" * 100, 200) == "x" * 100
