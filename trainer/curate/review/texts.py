"""Text of strangers as the review page shows it: of a bounded length, and with no sign that would move other text."""

from __future__ import annotations

import json
import re
import unicodedata
from typing import Any

__all__ = ["as_script", "pasteable", "shown"]

_HIDDEN = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")
"""Controls, marks of no width and of direction, halves of characters: shown by their number."""
_PLAIN = frozenset(" _.,:/+-()<>='")
"""Besides letters and digits of all languages."""


def shown(value: Any, most: int) -> str:
    """Return a value as text of at most `most` letters, and how long it was where it is cut."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    cut = text if len(text) <= most else f"{text[:most]} ... ({len(text)} letters)"
    return _HIDDEN.sub(lambda found: f"\\u{ord(found[0]):04x}", cut)


def pasteable(text: str) -> bool:
    """Whether a text between double quotes is nothing but text to sh, cmd.exe and PowerShell."""
    # An exclamation mark calls up an older command, but not before an equals sign.
    plain = text.replace("!=", "")
    return all(letter in _PLAIN or unicodedata.category(letter)[0] in "LMN" for letter in plain)


def as_script(name: str, value: Any) -> str:
    """Return a script that gives a value to an expression such as `window.review`.

    All that a browser may take for the end of a script, or for a line's end, is written by its number.
    """
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return f"{name} = {text.replace('<', chr(92) + 'u003c')};\n"
