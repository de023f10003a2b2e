"""Names of sets for training: as they were typed, and those that follow from what is in a set."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable

from ..graph.set_folders import set_name

__all__ = ["set_name_of", "set_named", "short_hash"]

_MOST_BYTES = 80
"""Of a set's name; Windows takes 260 characters of a whole path."""
_OF_ORIGIN = 24
"""Letters of a folder's name in that of its set."""


def set_named(name: str) -> str:
    """Return a set's name as a folder has it, empty where none was typed.

    Raises:
        UserError: no folder could have it on every system, or a set keeps its files under it.
    """
    return set_name(name, "a training set", _MOST_BYTES) if name.strip() else ""


def set_name_of(origin: str, digest: str) -> str:
    """Return a set's name of where its pictures come from, and of a short hash of what is in it."""
    # NFC first, as the bytes of names are counted in it.
    plain = re.sub(r"[^\w-]+", "-", unicodedata.normalize("NFC", origin))[:_OF_ORIGIN]
    # Of a letter with several bytes that the cut goes through, `ignore` leaves out the others too.
    cut = plain.encode()[: _MOST_BYTES - len(f"-{digest}")].decode(errors="ignore")
    return f"{cut.strip('-_') or 'set'}-{digest}"


def short_hash(texts: Iterable[str]) -> str:
    """Return a short name of texts; those that are no Unicode count too."""
    digest = hashlib.sha256()
    for text in texts:
        digest.update(text.encode("utf-8", "surrogatepass") + b"\0")
    return digest.hexdigest()[:8]
