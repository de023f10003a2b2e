"""`rows.jsonl`: the rows of a run as its last start has seen them in the source.

The journal says what was done, this file what is wanted: captions, subjects and splits that have changed since, rows
that the recipe no longer asks for, pictures that were taken out of the source.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from ...uso_model.errors import UserError
from ...uso_model.untrusted import named, regular_file
from ...uso_model.writing import atomic_write
from .steps import Row

__all__ = ["LISTING", "read_listing", "write_listing"]

LISTING = "rows.jsonl"
_CURE = "run `uso curate run` with the recipe once more"


def write_listing(run: Path, rows: Iterable[Row]) -> int:
    """Write the rows, whole or not at all, and return how many there are.

    Raises:
        OSError: the file cannot be written.
    """
    count = 0

    def write(temporary: str) -> None:
        nonlocal count
        with open(temporary, "w", encoding="utf-8", newline="\n") as file:
            for row in rows:
                file.write(json.dumps(row.told()) + "\n")
                count += 1

    atomic_write(run / LISTING, write)
    return count


def read_listing(run: Path) -> Iterator[Row]:
    """Yield the rows in the order of the source.

    Raises:
        UserError: the file is absent or damaged, with its line.
    """
    path = run / LISTING
    regular_file(path, _CURE)
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:  # names of files need not be Unicode, so this is no JSON for strangers
                row = Row.read(json.loads(line))
            except (ValueError, RecursionError):
                row = None
            if row is None or row.id != Row.id_of(row.key, row.layout, row.number):
                raise UserError(f"{named(path)} line {number} is no row of a run; {_CURE}")
            yield row
