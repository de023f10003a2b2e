"""What every source gives: pictures with a key, a cheap fingerprint, what is said of them, and their bytes."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from ....uso_model.errors import UserError
from ....uso_model.untrusted import quoted, regular_file

__all__ = [
    "FOLDER",
    "KNOWN",
    "LARGEST",
    "NO_TEXT",
    "Picture",
    "about",
    "file_fingerprint",
    "is_text",
    "key_problem",
    "read_file",
    "require_size",
]

FOLDER = "folder"
"""As the name of a style group: the picture's folder."""
NO_TEXT = "has a name that is no Unicode; rename it"
LARGEST = 1 << 30
"""Bytes of one picture's file; more than 100 megapixels of 16 bits need."""

_NAMES = {
    "prompt": ("prompt", "caption", "text"),
    "subject": ("subject",),
    "licence": ("licence", "license"),
    "split": ("split",),
}
"""What is known of a picture, and the columns or keys that may say it, the first one first."""
KNOWN = frozenset({"style"}.union(*_NAMES.values()))
"""All of these columns or keys."""


class Picture(NamedTuple):
    """A picture of a source, not opened yet."""

    key: str
    """Unique in the source and the same at every start, such as `b/1.png`. Never becomes a path of ours."""
    fingerprint: str
    """Changes when the file does: size and time."""
    about: Mapping[str, str]
    """`prompt`, `subject`, `style`, `licence`, `split`, as far as the source says."""
    read: Callable[[], bytes]
    """Returns the bytes of its file; can be pickled. Raises OSError where it cannot be read, UserError where it can
    never be: it is larger than `LARGEST`, or no file."""


def about(said: Mapping[str, Any], style: str, folder: str) -> dict[str, str]:
    """Return what is known of a picture.

    Args:
        said: what the source says, by column or key.
        style: column or key of its style group; `folder`: one named style, else the folder.
        folder: of the picture in the source.
    """
    found = {name: next(filter(None, (_text(said.get(key)) for key in keys)), "") for name, keys in _NAMES.items()}
    found["style"] = (_text(said.get("style")) or folder) if style == FOLDER else _text(said.get(style))
    return {name: text for name, text in found.items() if text}


def _text(value: Any) -> str:
    """Return a text or a number as text; anything else, such as the paths of a manifest's styles, is none."""
    told = str(value).strip() if isinstance(value, str | int | float) and not isinstance(value, bool) else ""
    return told.encode(errors="replace").decode()  # JSON can hold half a character


def key_problem(name: str) -> str | None:
    """Say why a picture of this name in a source is refused: it points out of the source, or can be no text.

    Any other name is fine, because none becomes a path: `CON`, `a:b`, three hundred letters.
    """
    if not is_text(name):
        return NO_TEXT
    parts = name.replace("\\", "/").split("/")
    if not parts[0] or (parts[0][1:2] == ":" and parts[0][0].isalpha() and len(parts) > 1) or ".." in parts:
        return "has a name that leads out of its source; rename it"
    return None


def is_text(name: str) -> bool:
    """Whether a name can be written down: the system hands over bytes that are no Unicode as halves of characters."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def file_fingerprint(status: os.stat_result) -> str:
    """Return what tells one content of a file from another, as far as can be told without reading it."""
    return f"{status.st_size}-{status.st_mtime_ns}"


def read_file(path: Path) -> bytes:
    """Return the bytes of a picture's file.

    Raises:
        OSError: it cannot be read, or is there no more.
        UserError: it is larger than a picture may be, or no file.
    """
    with suppress(ValueError):  # a name that no file can have is told below
        os.stat(path)  # one that has gone is an OSError
    require_size(regular_file(path, "take it out of the source").st_size, path)
    return path.read_bytes()


def require_size(size: int, name: object) -> None:
    """Refuse what is too large for a picture.

    Raises:
        UserError: it is.
    """
    if size > LARGEST:
        raise UserError(f"{quoted(name)} has {size} bytes, expected at most {LARGEST} of a picture; make it smaller")
