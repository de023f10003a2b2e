"""A set of triplets that grows one by one, as a person builds it: a journal, and the manifest that it comes to.

`SET/journal` and `SET/pictures` are those of a run, so that a kill loses nothing and any number of processes may add at
once. `SET/manifest.jsonl` follows from the journal and is brought up to date with every triplet; `uso check` and
`uso train` read it as it is.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from ...uso_model.errors import UserError
from ...uso_model.untrusted import quoted
from ...uso_model.writing import is_full
from ..data.manifest import Row, scan_manifest, write_manifest
from ..data.names import MANIFEST
from . import steps
from .entry import TRIPLET, Entry
from .ledger import Journal, Ledger, now
from .where import parse_where

__all__ = ["Added", "Triplet", "TripletSet", "rows_where"]

_PLAN = steps.StepPlan(TRIPLET)
_BYTES = 3
"""Of a pixel; a PNG takes less of nearly every picture."""


@dataclass(frozen=True)
class Triplet:
    """What is added to a set, all pictures in RGB."""

    target: Image.Image
    styles: Sequence[Image.Image]
    contents: Sequence[Image.Image]
    prompt: str
    layout: steps.Layout

    def pictures(self) -> dict[str, Image.Image]:
        """Return the pictures by their names in an entry, in the order of a row."""
        named = {steps.TARGET: self.target}
        for role, pictures in ((steps.STYLE, self.styles), (steps.CONTENT, self.contents)):
            named |= {f"{role}_{number}": picture for number, picture in enumerate(pictures, start=1)}
        return named

    def row(self) -> steps.Row:
        """Return its row, whose id is a hash of all pixels and texts: files of them may differ with the library."""
        told = [self.prompt, {name: _digest(picture) for name, picture in self.pictures().items()}]
        key = hashlib.sha256(json.dumps(told).encode()).hexdigest()
        return steps.Row(steps.Row.id_of(key, self.layout, 0), key, "", self.layout)


@dataclass(frozen=True)
class Added:
    """What became of triplets that were given to a set."""

    rows: list[Row]
    """One for each, in order, also of those that were there; with absolute paths."""
    new: int
    """Of them were not there."""
    total: int
    """Rows of the whole set."""


class TripletSet:
    """The set in a folder. One object for each process and folder: each has a journal of its own."""

    def __init__(self, folder: Path):
        """Name the folder; it is made with the first triplet."""
        self.folder = folder.absolute()
        self._journal = Journal(self.folder)

    def add(self, triplets: Sequence[Triplet]) -> Added:
        """Add those triplets that are not there yet, and bring the manifest up to date.

        Raises:
            UserError: a prompt is no Unicode, or somebody has broken the manifest; nothing that was added is lost then.
            OSError: something cannot be written, with the room that is needed where the disk is full; what was added
                until then is kept.
        """
        ledger = Ledger(self.folder)
        rows, new = [], 0
        try:
            for triplet in triplets:
                row = triplet.row()
                id_ = steps.step_id(_PLAN, row, {}, 0)
                if (entry := ledger.get(id_)) is None:
                    entry, new = self._added(triplet, row.id, id_, ledger), new + 1
                rows.append(_manifest_row(entry, ledger))
        except OSError as error:
            if not is_full(error):
                raise
            left = triplets[len(rows) :]
            room = sum(_BYTES * one.width * one.height for triplet in left for one in triplet.pictures().values())
            raise OSError(f"{error}: {len(left)} triplets need up to {max(1, room // 1_000_000):,} MB") from error
        finally:
            self._journal.close()  # Windows removes no folder in which a file is open
        return Added(rows, new, self.write_manifest())

    def write_manifest(self) -> int:
        """Bring the manifest up to date and return the number of its rows.

        Rows that stand in it stay as they stand, so that a person may give one another weight, caption or split; a row
        of which a picture was deleted goes, and one that does not stand there comes: a kill may have left it out. The
        journals are read once more at the end: of several processes, the last one to write sees what all others have
        added.
        """
        while True:
            ledger = Ledger(self.folder)
            there = self._standing_rows()
            rows = _rows(ledger, there)
            if rows != there:
                write_manifest(rows, self.folder / MANIFEST)
            if not ledger.update():
                return len(rows)

    def _added(self, triplet: Triplet, row: str, id_: str, ledger: Ledger) -> Entry:
        """Keep the pictures of a triplet, add its entry and return it."""
        try:
            triplet.prompt.encode()
        except UnicodeEncodeError as error:
            raise UserError(f"Got the prompt {quoted(triplet.prompt)}, expected Unicode: type it again.") from error
        stored = {name: ledger.pictures.add(picture) for name, picture in triplet.pictures().items()}
        values = {"prompt": triplet.prompt, "layout": triplet.layout}
        entry = Entry(row, _PLAN.name, id_, 0, "done", now(), pictures=stored, values=values)
        ledger.add(entry, self._journal)
        return entry

    def _standing_rows(self) -> list[Row]:
        path = self.folder / MANIFEST
        rows: list[Row] = []
        for found in scan_manifest(path) if path.exists() else ():
            if isinstance(found, str):
                raise UserError(f"{found}; or delete the file, which is written again with the next triplet")
            rows.append(found)
        return rows


def rows_where(rows: Iterable[Row], where: str) -> list[Row]:
    """Return the rows of a manifest of which an expression holds: over their scores and what else they have.

    Raises:
        UserError: no expression, or a name in it that no row has.
    """
    parsed = parse_where(where)
    found = [(row, _asked(row)) for row in rows]
    if found:
        parsed.check({name for _, scores in found for name in scores})
    return [row for row, scores in found if parsed.holds(scores)]


def _asked(row: Row) -> dict[str, float | str]:
    counts = {"styles": float(len(row.style)), "contents": float(len(row.contents)), "weight": row.weight}
    texts = {"id": row.id, "prompt": row.prompt, "layout": row.layout, "split": row.split}
    return {**row.scores, **counts, **texts}


def _rows(ledger: Ledger, there: Sequence[Row]) -> list[Row]:
    """Return what belongs in the manifest: the rows that stand there, as far as they hold, and then the other ones."""
    ours = sorted((entry for entry in ledger.entries() if entry.step == _PLAN.name), key=lambda entry: entry.time)
    made: dict[str, Row] = {}
    for entry in ours:
        if (whole := ledger.get(entry.id)) is not None:
            made[entry.row] = _manifest_row(whole, ledger)
    known = {entry.row for entry in ours}
    kept = [row for row in there if row.id not in known or (row.id in made and row.pictures == made[row.id].pictures)]
    standing = {row.id for row in kept}
    return kept + [row for id_, row in made.items() if id_ not in standing]


def _manifest_row(entry: Entry, ledger: Ledger) -> Row:
    paths = {name: ledger.pictures.path(stored.sha256) for name, stored in entry.pictures.items()}
    styles, contents = (
        [path for name, path in paths.items() if name.startswith(f"{role}_")] for role in (steps.STYLE, steps.CONTENT)
    )
    told = {"target": paths[steps.TARGET], "style": styles, "content": contents, **entry.values}
    return Row.model_validate({"id": entry.row, **told})


def _digest(picture: Image.Image) -> str:
    return hashlib.sha256(f"{picture.width} {picture.height} ".encode() + picture.tobytes()).hexdigest()
