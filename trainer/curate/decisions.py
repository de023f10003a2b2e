"""What people have said of rows: `RUN/decisions.jsonl`, of which the last line of a row counts.

A decision is about pictures. One that tells which it was made of does not count once a row was drawn anew.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...uso_model.errors import UserError
from ...uso_model.untrusted import Line, json_lines, kind_of, named, quoted
from ...uso_model.writing import fsync, retried, unwritten
from .pictures import Stored
from .pipeline import Progress

__all__ = ["FILE", "Decision", "append_decisions", "decided", "read_decisions", "read_saved", "seen"]

FILE = "decisions.jsonl"
_ROW = re.compile(r"[0-9a-f]{32}")
_CURE = "save the decisions again"
_SEEN = 16
_LATEST = 1e15

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Decision:
    """What a person has said of a row."""

    row: str
    accept: bool | None
    """None: an earlier decision is taken back."""
    time: float
    """Seconds since 1970."""
    pictures: str = ""
    """Which pictures it was made of, by `seen`; empty: whichever there are."""

    def line(self) -> str:
        """Return it as a line of JSON."""
        told: dict[str, Any] = {"row": self.row, "accept": self.accept, "time": self.time}
        return json.dumps(told | ({"pictures": self.pictures} if self.pictures else {})) + "\n"


def seen(pictures: Mapping[str, Stored]) -> str:
    """Return a short hash of a row's pictures, by which a decision tells what it was made of."""
    text = ",".join(f"{name}:{pictures[name].sha256}" for name in sorted(pictures))
    return hashlib.sha256(text.encode()).hexdigest()[:_SEEN]


def decided(progress: Progress, decisions: Mapping[str, Decision]) -> bool | None:
    """Return what was said of a row as it is now; None where nothing was, or of other pictures."""
    found = decisions.get(progress.row.id)
    if found is None or (found.pictures and found.pictures != seen(progress.pictures)):
        return None
    return found.accept


def read_decisions(run: Path) -> dict[str, Decision]:
    """Return the decision that counts of each row; lines that are none are passed over with a warning.

    Raises:
        UserError: the file cannot be read.
    """
    path = run / FILE
    if not path.exists():
        return {}
    found: list[Decision] = []
    damaged = 0
    for line in json_lines(path):
        try:
            found.append(_decision(line))
        except UserError:
            damaged += 1
    if damaged:
        _log.warning("%s has %d lines that are no decisions; they are passed over", named(path), damaged)
    return _last(found)


def read_saved(path: Path, run: Path, rows: Collection[str]) -> dict[str, Decision]:
    """Return the decisions of a file that the review page has saved, the one that counts of each row.

    Args:
        path: of the file.
        run: whose decisions they are to be.
        rows: ids of its rows.

    Raises:
        UserError: the file cannot be read, a line is no decision, there is none, or none is of a row of the run.
    """
    found = _last(_decision(line) for line in json_lines(path, "name the file that the review page has saved"))
    if not found:
        raise UserError(f"{named(path)} holds no decisions; {_CURE}")
    if found.keys().isdisjoint(rows):
        raise UserError(
            f"{named(path)} has decisions of other rows than those of {named(run)}; name the run's own file"
        )
    return found


def append_decisions(run: Path, decisions: Iterable[Decision]) -> int:
    """Append decisions that differ from those that count, and return how many did.

    Raises:
        UserError: the run's own file cannot be read.
        OSError: it cannot be written.
    """
    known = read_decisions(run)
    new = [one for one in decisions if one.row not in known or _later(one, known[one.row])]
    if not new:
        return 0
    path = run / FILE
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with retried(lambda: path.open("ab+")) as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - 1))
            torn = file.read(1) not in (b"", b"\n")
            file.write(("\n" * torn + "".join(one.line() for one in new)).encode())
        fsync(path)
    except OSError as error:
        raise unwritten(path, error) from error
    return len(new)


def _later(one: Decision, other: Decision) -> bool:
    return one.time > other.time or (one.time == other.time and one != other)


def _last(decisions: Iterable[Decision]) -> dict[str, Decision]:
    """Return the latest of each row, of equally late ones the last: files of several people may come in any order."""
    found: dict[str, Decision] = {}
    for one in decisions:
        if one.row not in found or one.time >= found[one.row].time:
            found[one.row] = one
    return found


def _decision(line: Line) -> Decision:
    if line.problem is not None:
        raise UserError(line.problem)
    if not isinstance(line.value, dict):
        raise UserError(f"{line.place} holds {kind_of(line.value)}, expected a decision; {_CURE}")
    values = line.value
    row, accept, time, pictures = (values.get(name) for name in ("row", "accept", "time", "pictures"))
    if not isinstance(row, str) or not _ROW.fullmatch(row):
        raise UserError(f"{line.place} has the row {quoted(row)}, expected 32 letters and digits; {_CURE}")
    if "accept" not in values or not isinstance(accept, bool | None):
        raise UserError(f"{line.place} has accept = {quoted(accept)}, expected true, false or null; {_CURE}")
    if isinstance(time, bool) or not isinstance(time, int | float) or not 0 <= time < _LATEST:
        raise UserError(f"{line.place} has the time {quoted(time)}, expected seconds since 1970; {_CURE}")
    if pictures is not None and (not isinstance(pictures, str) or len(pictures) > 64):
        raise UserError(f"{line.place} has pictures = {quoted(pictures)}, expected a short hash; {_CURE}")
    return Decision(row, accept, float(time), pictures or "")
