"""The ledger of a run: a line for every finished step, in append-only journals of one writer each.

`RUN/journal/<uuid>.jsonl`. A line counts when it is whole and its pictures are there with their names and sizes. Of the
lines for one step that count the first in the order of (time, uuid) does, so that any number of writers on any number
of machines come to one result. Nothing is ever changed or removed, and no file has two writers: that works on network
drives, too.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .entry import Entry, State
from .journal import FOLDER, Journal, journals, whole_lines
from .pictures import Pictures

__all__ = ["FOLDER", "Entry", "Journal", "Ledger", "State"]

_Line = tuple[float, str, Entry]
"""Time, name of the writer, and what it has written."""


class Ledger:
    """All journals of a run, read together."""

    def __init__(self, run: Path):
        """Read what is there in the folder of a run, but for what judges said in their own words; see `raw_answers`."""
        self.run = run
        self.pictures = Pictures(run)
        self.damaged: list[str] = []
        """Lines that are none, as `file:offset: why`; a torn last one is not among them, its writer may be at it."""
        self._entries: dict[str, _Line | list[_Line]] = {}
        self._offsets: dict[str, int] = {}
        self.update()

    def update(self) -> int:
        """Read what other writers have added since, and return how many lines that were.

        Raises:
            OSError: a journal cannot be read.
        """
        new = 0
        with _without_collection():
            for path in journals(self.run):
                if path.stat().st_size > self._offsets.get(path.name, 0):
                    new += self._read(path)
        return new

    def _read(self, path: Path) -> int:
        """Read a journal from where it was read to before."""
        offset, new, writer = self._offsets.get(path.name, 0), 0, path.stem
        for at, line in whole_lines(path, offset):
            try:
                new += self.take(Entry.read(line), writer)
            except ValueError as error:
                self.damaged.append(f"{path.name}:{at}: {error}")
            offset = at + len(line)
        self._offsets[path.name] = offset
        return new

    def add(self, entry: Entry, journal: Journal) -> None:
        """Append an entry and count it.

        Raises:
            OSError: it cannot be written.
        """
        journal.add(entry)
        self.take(entry, journal.path.stem)

    def take(self, entry: Entry, writer: str) -> bool:
        """Count an entry that stands in a journal, and return whether it was not known."""
        line = (entry.time, writer, entry.without_raw())
        known = self._entries.setdefault(entry.id, line)
        if known is line:
            return True
        lines = known if isinstance(known, list) else [known]
        if any(one[:2] == line[:2] for one in lines):
            return False
        self._entries[entry.id] = sorted([*lines, line], key=lambda one: one[:2])
        return True

    def get(self, id_: str) -> Entry | None:
        """Return the first entry of a step whose pictures are all there, else None."""
        found = self._entries.get(id_)
        if found is None:
            return None
        for _, _, entry in found if isinstance(found, list) else (found,):
            if all(self.pictures.has(stored) for stored in entry.pictures.values()):
                return entry
        return None

    def lines_of(self, id_: str) -> list[Entry]:
        """Return every entry of a step, those that count for nothing too."""
        found = self._entries.get(id_, [])
        return [line[2] for line in found] if isinstance(found, list) else [found[2]]

    def entries(self) -> Iterator[Entry]:
        """Yield the first entry of each step that any settings ever asked for, with or without its pictures."""
        for found in self._entries.values():
            yield found[0][2] if isinstance(found, list) else found[2]

    def lines(self) -> Iterator[Entry]:
        """Yield every entry, those of one step that count for nothing too: each has cost something."""
        for id_ in self._entries:
            yield from self.lines_of(id_)

    def __len__(self) -> int:
        return len(self._entries)


@contextmanager
def _without_collection() -> Iterator[None]:
    """Keep the collector from walking through millions of new objects again and again: none is garbage."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def now() -> float:
    """Return the time that stands in entries."""
    return time.time()
