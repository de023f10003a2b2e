"""What judges said in their own words, read from the journals for few rows: of all rows it would take gigabytes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from .entry import RAW, Entry
from .journal import journals, whole_lines
from .pipeline import Progress

__all__ = ["with_raw"]

_ID = re.compile(rb'"id"\s*:\s*"([^"\\]+)"')
"""Told without reading the whole line, of which most are of rows that nobody asked for."""


def with_raw(run: Path, rows: Sequence[Progress]) -> list[Progress]:
    """Return rows whose entries have their raw answers, which those of a ledger lack.

    Raises:
        OSError: a journal cannot be read.
    """
    wanted = {entry.id: entry for row in rows for entry in row.entries.values()}
    found: dict[str, Entry] = {}
    for entry in _spoken(run, {id_.encode("utf-8", "surrogatepass") for id_ in wanted}):
        if entry.id not in found and entry.without_raw() == wanted.get(entry.id):
            found[entry.id] = entry
    return [
        replace(row, entries={name: found.get(entry.id, entry) for name, entry in row.entries.items()}) for row in rows
    ]


def _spoken(run: Path, ids: set[bytes]) -> Iterator[Entry]:
    """Yield the entries of these steps that have raw answers."""
    mark = f'"{RAW}"'.encode()
    for path in journals(run):
        for _, line in whole_lines(path):
            if mark not in line or ids.isdisjoint(_ID.findall(line)):
                continue
            try:
                entry = Entry.read(line)
            except ValueError:  # the ledger has said so
                continue
            if RAW in entry.notes:
                yield entry
