"""Names that a user gives to style files: what would not make a file everywhere is said, and nothing is changed."""

from __future__ import annotations

from ...uso_model.errors import UserError
from ...uso_model.untrusted import quoted

__all__ = ["style_file_name"]

MOST_BYTES = 200
"""Of a name in UTF-8; file systems take 255, of which the ending and a temporary name use some."""

_RESERVED = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10))}
"""What Windows takes for devices, also with an ending."""

_FORBIDDEN = '<>:"/\\|?*'
"""Separators of paths, and what Windows allows in no name."""


def style_file_name(name: str) -> str:
    """Return the file's name for the name of a style; only white space around it is dropped.

    Raises:
        UserError: no file could have the name on every system.
    """
    clean = name.strip()
    if not any(c.isalnum() for c in clean):
        raise UserError(f"Got the name {quoted(name)!r} for a style, expected letters or digits: choose another.")
    wrong = sorted({c for c in clean if c in _FORBIDDEN or not c.isprintable()})
    if wrong:
        raise UserError(
            f"Got the name {quoted(clean)!r} for a style, expected a name without {' '.join(map(repr, wrong[:5]))}: "
            "leave that out; all styles lie in one folder."
        )
    if clean.startswith(".") or clean.endswith(".") or clean.partition(".")[0].strip().lower() in _RESERVED:
        raise UserError(
            f"Got the name {quoted(clean)!r} for a style, expected one that is no reserved name of Windows and neither "
            "begins nor ends with a dot: choose another."
        )
    size = len(clean.encode("utf-8", "surrogatepass"))
    if size > MOST_BYTES:
        raise UserError(
            f"Got a name of {size} bytes for a style ({quoted(clean)}), expected at most {MOST_BYTES}: shorten it."
        )
    return f"{clean}.safetensors"
