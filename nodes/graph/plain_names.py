"""Names that a user gives to files and folders: what would not make one on every system is said."""

from __future__ import annotations

import re
import unicodedata

from ...uso_model.errors import UserError
from ...uso_model.untrusted import quoted

__all__ = ["plain_name"]

_RESERVED = {
    *("con", "prn", "aux", "nul", "conin$", "conout$"),
    *(f"{port}{n}" for port in ("com", "lpt") for n in "0123456789\u00b9\u00b2\u00b3"),
}
"""What Windows takes for devices, also with an ending."""

_FORBIDDEN = '<>:"|?*'
"""What Windows allows in no name."""


def plain_name(name: str, what: str, most: int, ending: str = "") -> str:
    """Return a name with sub-folders before it, parted by `/` whichever slash was typed.

    White space around each part is dropped, and the ending where it was typed; a letter with an accent is one
    character, however it was typed.

    Args:
        name: as it was typed.
        what: is named, for messages, such as `a style`.
        most: bytes in UTF-8.
        ending: that may be typed or left out.

    Raises:
        UserError: no file could have the name on every system.
    """
    clean = unicodedata.normalize("NFC", name).strip()
    if ending and clean.lower().endswith(ending):
        clean = clean[: -len(ending)]
    parts = [part.strip() for part in re.split(r"[/\\]", clean)]
    for part in parts:
        _check(part, clean, what)
    clean = "/".join(parts)
    size = len(clean.encode("utf-8", "surrogatepass"))
    if size > most:
        raise UserError(
            f"Got a name of {size} bytes for {what} ({quoted(clean)}), expected at most {most}: shorten it."
        )
    return clean


def _check(part: str, name: str, what: str) -> None:
    """Check one part of a name, a folder or the file.

    Raises:
        UserError: it cannot be one everywhere.
    """
    if not any(c.isalnum() for c in part):
        raise UserError(
            f"Got the name {quoted(name)!r} for {what}, expected letters or digits in it and in each folder: choose "
            "another."
        )
    wrong = sorted({c for c in part if c in _FORBIDDEN or not c.isprintable()})
    if wrong:
        raise UserError(
            f"Got the name {quoted(name)!r} for {what}, expected a name without {' '.join(map(repr, wrong[:5]))}: "
            "leave that out."
        )
    if part.startswith(".") or part.endswith(".") or part.partition(".")[0].strip().lower() in _RESERVED:
        raise UserError(
            f"Got the name {quoted(name)!r} for {what}, expected one that is no reserved name of Windows and neither "
            "begins nor ends with a dot: choose another."
        )
