"""What became of a step of a row: a line of a journal, checked field by field when it is read."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import dataclass, field, replace
from typing import Any, Literal, cast

from ...uso_model.untrusted import quoted
from .pictures import Stored

__all__ = ["DRAWN", "RAW", "STATES", "TRIPLET", "Entry", "State", "is_number"]

DRAWN = ("target", "style", "content")
"""Steps that make the picture of their name."""
TRIPLET = "triplet"
"""Step of a set that a person builds; it has a target and more."""
_MAKES = {**{name: name for name in DRAWN}, TRIPLET: "target"}

State = Literal["done", "rejected", "failed", "unjudged"]
"""Of a step: `rejected` says that the row is no good, `failed` that this attempt was, `unjudged` that a judge gave no
answer that can be used; the next run asks it again."""
STATES: tuple[State, ...] = ("done", "rejected", "failed", "unjudged")
_NOTHING: dict[str, Any] = {}
"""Shared by the many entries that have none of something; nobody changes what an entry holds."""
_HASH = re.compile("[0-9a-f]{64}")
_YEAR_10000 = 253402300800.0
_LARGEST = 1e300
"""Of a number; a stranger's journal may hold whole ones that are no float, and JSON's 1e999 is infinite."""


RAW = "raw"
"""Name of the note with what a judge said in its own words, by names. Ledgers do not hold it, see `raw_answers`: of
200,000 rows it takes gigabytes."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What became of a step of a row."""

    row: str
    step: str
    id: str
    """Of the step: see `steps.step_id`."""
    attempt: int
    state: State
    time: float
    """Seconds since 1970 at the end."""
    reason: str = ""
    pictures: dict[str, Stored] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)
    """What later steps read, and scores, which are numbers."""
    notes: dict[str, Any] = field(default_factory=dict)
    """What nothing is made of: raw answers, hashes of prompts, what it cost."""
    seconds: float = 0.0
    """It took."""

    def line(self) -> bytes:
        """Return it as a line of a journal.

        Raises:
            ValueError: a value is no number that JSON has, such as NaN.
        """
        values = {name: getattr(self, name) for name in self.__slots__}
        return json.dumps(values, ensure_ascii=False, allow_nan=False).encode("utf-8", "backslashreplace") + b"\n"

    def without_raw(self) -> Entry:
        """Return it as a ledger holds it."""
        if RAW not in self.notes:
            return self
        return replace(self, notes={name: note for name, note in self.notes.items() if name != RAW})

    @classmethod
    def read(cls, line: bytes) -> Entry:
        """Return the entry of a line.

        Raises:
            ValueError: it is none.
        """
        try:
            text = line.decode()
            told, end = _JSON.raw_decode(text)
            if end + 1 != len(text) and text[end:].strip():
                raise ValueError("more than one value")
            row, step, id_, state = told["row"], told["step"], told["id"], told["state"]
            attempt, time, seconds = told["attempt"], told["time"], told["seconds"]
            if not (type(id_) is str and type(attempt) is int and state in STATES):
                raise ValueError("no id, attempt or state")
            if not (0 <= time < _YEAR_10000 and 0 <= seconds < _YEAR_10000):
                raise ValueError("a time that is none")
            if state == "done" and step in _MAKES and _MAKES[step] not in told["pictures"]:
                raise ValueError(f"{step} is done without its picture")
            return cls(
                sys.intern(row),
                sys.intern(step),
                id_,
                attempt,
                cast(State, sys.intern(state)),
                time,
                str(told["reason"]),
                {sys.intern(name): _stored(*stored) for name, stored in told["pictures"].items()} or _NOTHING,
                _named(told["values"]),
                _noted(told["notes"]),
                seconds,
            )
        except (TypeError, KeyError, AttributeError, RecursionError) as error:
            raise ValueError(quoted(error)) from error


def is_number(value: object) -> bool:
    """Whether a value of an entry is a number, as scores are; true and false are none."""
    return type(value) is float or type(value) is int


def _stored(sha256: str, size: int) -> Stored:
    if type(size) is not int or not _HASH.fullmatch(sha256):
        raise ValueError("a picture without a hash or a size")
    return Stored(sha256, size)


def _named(values: dict[str, Any]) -> dict[str, Any]:
    """Return values under names that all entries share."""
    for name, value in values.items():
        if is_number(value) and not abs(value) < _LARGEST:
            raise ValueError(f"{quoted(name)} is a number that is too large")
    return {sys.intern(name): value for name, value in values.items()} or _NOTHING


def _noted(notes: dict[str, Any]) -> dict[str, Any]:
    if RAW in notes and type(notes[RAW]) is not dict:
        raise ValueError("raw notes without names")
    return _named(notes)


def _no_number(text: str) -> float:
    raise ValueError(f"{text} for a number")


_JSON = json.JSONDecoder(parse_constant=_no_number)
"""Made once: `json.loads` would make one for each of a million lines."""
