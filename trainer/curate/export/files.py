"""The data files of an export: some for each split, each of a size that can be handled."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Generic, Protocol, TypeVar

__all__ = ["DATA", "Part", "Parts", "Split", "split_name"]

DATA = "data"
"""Folder of the data files."""
MOST_BYTES = 500 << 20
"""Of pictures in one file."""
_PLAIN = re.compile(r"[a-z0-9_]{1,40}")


def split_name(split: str) -> str:
    """Return a split as names of files and Hugging Face have it: itself where it is small letters and digits.

    Some disks make no difference between small letters and capitals.
    """
    return split if _PLAIN.fullmatch(split) else f"split_{hashlib.sha256(split.encode()).hexdigest()[:8]}"


class Split:
    """What a split has."""

    def __init__(self, pattern: str):
        """Name its files."""
        self.pattern = pattern
        """Of its data files, from the export's folder."""
        self.rows = 0
        self.bytes = 0
        """Of its pictures."""


class Part(Protocol):
    """A file that is being written."""

    def close(self) -> None:
        """Finish it."""
        ...


Kind = TypeVar("Kind", bound=Part)


class Parts(Generic[Kind]):
    """The open file of each split; the next one is begun when it is full."""

    def __init__(self, folder: Path, ending: str, begin: Callable[[Path], Kind]):
        """Write to `folder/data`.

        Args:
            folder: of the export.
            ending: of the files.
            begin: opens one.
        """
        self._folder, self._ending, self._begin = folder, ending, begin
        self._open: dict[str, tuple[Kind, int, int]] = {}
        self.splits: dict[str, Split] = {}

    def of(self, split: str, size: int) -> Kind:
        """Return the file that takes the next row of a split, whose pictures have `size` bytes."""
        name = split_name(split)
        part, number, filled = self._open.get(name, (None, -1, MOST_BYTES))
        if part is None or filled >= MOST_BYTES:
            if part is not None:
                part.close()
            number, filled = number + 1, 0
            path = self._folder / DATA / f"{name}-{number:05d}{self._ending}"
            path.parent.mkdir(exist_ok=True)
            part = self._begin(path)
        self._open[name] = (part, number, filled + size)
        found = self.splits.setdefault(split, Split(f"{DATA}/{name}-*{self._ending}"))
        found.rows, found.bytes = found.rows + 1, found.bytes + size
        return part

    def close(self) -> None:
        """Finish all files."""
        for part, _, _ in self._open.values():
            part.close()
