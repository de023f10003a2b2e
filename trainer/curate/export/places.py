"""Settings without the places of one machine: absolute paths become their last names, wherever in a text they stand."""

from __future__ import annotations

import re
from typing import Any

__all__ = ["without_places"]

_URL = r"(?<![A-Za-z0-9])(?!file:)[A-Za-z][A-Za-z0-9+.-]+://[^\s\"'<>,;|]*"
"""Stays as it is: what it names is reached from elsewhere, too."""
_STARTS = (
    r"(?:(?<![^\W_])(?<![\\/])|(?<=^-[A-Za-z]))(?:\\\\[?.]\\)?[A-Za-z]:[\\/]",  # C:\x, \\?\C:\x, and -IC:\x
    r"(?<![\w\\/])\\\\(?=\w)",  # \\server\share
    r"(?<!\w)~(?:[A-Za-z_][\w.-]*)?[\\/]",  # ~/x, ~somebody/x
    r"(?:(?<![\w.~/\\)\]}*$%<-])|(?<=^-[A-Za-z]))/+(?=[^\s/,;:)\]\"'|])",  # /x, and -I/x; neither a/b nor ./x nor </x>
)
"""Where an absolute path begins: at the start of a text, or behind what may be no part of a path."""
_CUT = re.compile(f"(?P<url>{_URL})|(?P<path>{'|'.join(_STARTS)})")
_FOLDERS = re.compile(r".*[\\/](?=[^\\/]*\w)", re.DOTALL)
_QUOTES = "\"'`"


def without_places(told: Any) -> Any:
    """Return settings whose texts have no absolute path: each is its last name, in words such as `--lora=/x/y`, too.

    Names of folders may hold blanks, commas and equals signs, so a path reaches up to its closing quote or to the last
    slash before the next one: rather a word too much is left out than a name too little.
    """
    if isinstance(told, dict):
        return {name: without_places(value) for name, value in told.items()}
    if isinstance(told, list | tuple):
        return [without_places(value) for value in told]
    return _named(told) if isinstance(told, str) else told


def _named(text: str) -> str:
    """Return a text whose absolute paths are names."""
    found = list(_CUT.finditer(text))
    if not found:
        return text
    parts = [text[: found[0].start()]]
    for one, end in zip(found, [*(later.start() for later in found[1:]), len(text)], strict=True):
        part = text[one.start() : end]
        if one["path"]:
            quote = text[one.start() - 1 : one.start()]
            path, closing, rest = part.partition(quote) if quote and quote in _QUOTES else (part, "", "")
            folders = _FOLDERS.match(path)  # tried once: from every place it would take long with many blanks
            part = path[folders.end() if folders else 0 :] + closing + rest
        parts.append(part)
    return "".join(parts)
