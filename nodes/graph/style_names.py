"""Names that a user gives to style files: what would not make a file everywhere is said."""

from __future__ import annotations

import re
import unicodedata

from ...uso_model.errors import UserError
from ...uso_model.untrusted import quoted

__all__ = ["ENDING", "style_file_name"]

ENDING = ".safetensors"
MOST_BYTES = 200
"""Of a name in UTF-8; file systems take 255, of which the ending and a temporary name use some."""

_RESERVED = {
    *("con", "prn", "aux", "nul", "conin$", "conout$"),
    *(f"{port}{n}" for port in ("com", "lpt") for n in "0123456789\u00b9\u00b2\u00b3"),
}
"""What Windows takes for devices, also with an ending."""

_FORBIDDEN = '<>:"|?*'
"""What Windows allows in no name."""


def style_file_name(name: str) -> str:
    """Return the file of a style, within the folder of styles, for its name.

    Sub-folders may stand before it, after either slash. White space around each part is dropped, and the ending where
    it was typed; a letter with an accent is one character, however it was typed.

    Raises:
        UserError: no file could have the name on every system.
    """
    clean = unicodedata.normalize("NFC", name).strip()
    if clean.lower().endswith(ENDING):
        clean = clean[: -len(ENDING)]
    parts = [part.strip() for part in re.split(r"[/\\]", clean)]
    for part in parts:
        _check(part, clean)
    clean = "/".join(parts)
    size = len(clean.encode("utf-8", "surrogatepass"))
    if size > MOST_BYTES:
        raise UserError(
            f"Got a name of {size} bytes for a style ({quoted(clean)}), expected at most {MOST_BYTES}: shorten it."
        )
    return f"{clean}{ENDING}"


def _check(part: str, name: str) -> None:
    """Check one part of a name, a folder or the file.

    Raises:
        UserError: it cannot be one everywhere.
    """
    if not any(c.isalnum() for c in part):
        raise UserError(
            f"Got the name {quoted(name)!r} for a style, expected letters or digits in it and in each folder: choose "
            "another."
        )
    wrong = sorted({c for c in part if c in _FORBIDDEN or not c.isprintable()})
    if wrong:
        raise UserError(
            f"Got the name {quoted(name)!r} for a style, expected a name without {' '.join(map(repr, wrong[:5]))}: "
            "leave that out."
        )
    if part.startswith(".") or part.endswith(".") or part.partition(".")[0].strip().lower() in _RESERVED:
        raise UserError(
            f"Got the name {quoted(name)!r} for a style, expected one that is no reserved name of Windows and neither "
            "begins nor ends with a dot: choose another."
        )
