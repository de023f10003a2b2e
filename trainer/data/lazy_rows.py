"""Rows of large manifests, read when they are asked for: of each row only its place in the file is kept."""

from __future__ import annotations

from abc import abstractmethod
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, overload

from pydantic_core import from_json

from ...uso_model.errors import UserError
from ...uso_model.untrusted import Line, named, parse_json, quoted

if TYPE_CHECKING:
    from .manifest import Row

__all__ = ["LazyRows", "chosen", "joined", "of_split"]

_BOM = b"\xef\xbb\xbf"


def _lines(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Yield the lines of a file with their offsets; they end as those of `read_text` do, also at a lone CR."""
    offset = 0
    for several in file:
        for line in several.splitlines(keepends=True):
            yield offset, line
            offset += len(line)


def _is_blank(line: bytes) -> bool:
    """Whether a line is blank to `json_lines`, which knows the spaces of Unicode."""
    return not line.strip() or (line[:1] != b"{" and not line.decode("utf-8", "replace").strip())


class _Rows(Sequence["Row"]):
    """What all sequences of rows here have in common: a slice is a view."""

    @abstractmethod
    def _row(self, place: int) -> Row:
        """Return the row of a place from 0."""

    @overload
    def __getitem__(self, place: int) -> Row: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Row]: ...
    def __getitem__(self, place: int | slice) -> Row | Sequence[Row]:
        if isinstance(place, slice):
            return _Chosen(self, range(len(self))[place], 1.0)
        if not -len(self) <= place < len(self):
            raise IndexError(place)
        return self._row(place % len(self))


class LazyRows(_Rows):
    """The rows of one manifest. Each is checked when it is read."""

    def __init__(self, path: Path, first: int, read: Callable[[Line], Row]):
        """Look through a manifest for the places, ids and splits of its rows.

        Args:
            path: JSON Lines.
            first: number of the line with which rows begin, from 1.
            read: returns the row of a line, or raises what is wrong with it.

        Raises:
            UserError: a line is no object with an id, or repeats one.
        """
        self.path, self._read = path, read
        self._offsets, self._lines, self._split_of = array("Q"), array("Q"), array("L")
        self._splits: dict[str, int] = {}
        self._state = self._stat()
        ids = set[int]()  # of hashes and not ids: a million texts would be most of the memory
        with path.open("rb") as file:
            for number, (begin, line) in enumerate(_lines(file), start=1):
                if number < first or _is_blank(line):
                    continue
                id_, split = self._told(line, number)
                if hash(id_) in ids:
                    self._require_new(id_, begin, number)
                ids.add(hash(id_))
                self._offsets.append(begin)
                self._lines.append(number)
                self._split_of.append(self._splits.setdefault(split, len(self._splits)))

    def of_split(self, split: str | None, factor: float = 1.0) -> Sequence[Row]:
        """Return the rows of a split, None: all, with weights that are so many times theirs; none of them is read."""
        wanted = self._splits.get(split) if split is not None else None
        places = (n for n, own in enumerate(self._split_of) if split is None or own == wanted)
        return _Chosen(self, array("Q", places), factor)

    def _told(self, line: bytes, number: int) -> tuple[str, str]:
        """Return id and split of a line, of which the rest is not looked at yet."""
        try:
            value = from_json(line)
            id_, split = value["id"], value.get("split", "train")
        except (ValueError, TypeError, LookupError, AttributeError):
            id_ = split = None
        if isinstance(id_, str) and isinstance(split, str):
            return id_, split
        row = self._parsed(line, number)  # says what is wrong
        return row.id, row.split

    def _require_new(self, id_: str, begin: int, number: int) -> None:
        """Refuse an id that a line before has; two may have one hash."""
        with self.path.open("rb") as file:
            for before in range(len(self)):
                if self._told(self._line(file, before), self._lines[before])[0] == id_:
                    place = self._place(number)
                    raise UserError(f"{place} repeats the id {quoted(id_)!r}; every row needs its own")

    def _row(self, place: int) -> Row:
        with self.path.open("rb") as file:
            self._require_same()
            return self._parsed(self._line(file, place), self._lines[place])

    def __iter__(self) -> Iterator[Row]:
        return self.at(range(len(self)))

    def at(self, places: Iterable[int]) -> Iterator[Row]:
        """Yield the rows of these places, with the file opened once."""
        with self.path.open("rb") as file:
            self._require_same()
            for place in places:
                yield self._parsed(self._line(file, place), self._lines[place])

    def _line(self, file: BinaryIO, place: int) -> bytes:
        begin, after = self._offsets[place], place + 1
        file.seek(begin)
        # Not by `readline`, which ends at a line feed only.
        line = file.read((self._offsets[after] if after < len(self) else self._state[0]) - begin)
        return next(iter(line.splitlines()), b"")

    def _parsed(self, line: bytes, number: int) -> Row:
        place = self._place(number)
        try:
            text = (line.removeprefix(_BOM) if number == 1 else line).rstrip(b"\r\n").decode("utf-8")
        except UnicodeDecodeError as error:
            raise UserError(f"{place} is not UTF-8 text ({error.reason}); save it as UTF-8") from error
        return self._read(Line(place, parse_json(text, place), None))

    def _place(self, number: int) -> str:
        return f"{quoted(self.path.name)} line {number}"

    def _require_same(self) -> None:
        if self._stat() != self._state:
            raise UserError(f"{named(self.path)} was changed while it was used; run the same command again")

    def _stat(self) -> tuple[int, int]:
        status = self.path.stat()
        return status.st_size, status.st_mtime_ns

    def __len__(self) -> int:
        return len(self._offsets)


class _Chosen(_Rows):
    """Some rows of others, with weights that are so many times theirs."""

    def __init__(self, rows: Sequence[Row], places: Sequence[int], factor: float):
        self.rows, self.places, self.factor = rows, places, factor

    def _row(self, place: int) -> Row:
        return self._weighed(self.rows[self.places[place]])

    def __iter__(self) -> Iterator[Row]:
        rows = self.rows
        found = rows.at(self.places) if isinstance(rows, LazyRows) else (rows[place] for place in self.places)
        return map(self._weighed, found)

    def _weighed(self, row: Row) -> Row:
        return row if self.factor == 1 else row.model_copy(update={"weight": row.weight * self.factor})

    def __len__(self) -> int:
        return len(self.places)


class _Joined(_Rows):
    """Rows of several, one after the other."""

    def __init__(self, parts: Sequence[Sequence[Row]]):
        self._parts, self._ends = parts, list(accumulate(map(len, parts)))

    def _row(self, place: int) -> Row:
        part = bisect_right(self._ends, place)
        return self._parts[part][place - self._ends[part] + len(self._parts[part])]

    def __iter__(self) -> Iterator[Row]:
        for part in self._parts:
            yield from part

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0


def of_split(rows: Sequence[Row], split: str | None, factor: float = 1.0) -> Sequence[Row]:
    """Return the rows of a split, None: all, with weights that are so many times theirs; see `chosen`."""
    if isinstance(rows, LazyRows):
        return rows.of_split(split, factor)
    return chosen(rows, lambda row: split in (None, row.split), factor)


def chosen(rows: Sequence[Row], keep: Callable[[Row], bool], factor: float = 1.0) -> Sequence[Row]:
    """Return the rows of which something holds: a list of a list, a view of what is read lazily.

    Args:
        rows: gone through once.
        keep: says which stay.
        factor: by which their weights are multiplied.
    """
    places = array("Q", (place for place, row in enumerate(rows) if keep(row)))
    if isinstance(rows, _Chosen):  # no view of a view, each of which would cost time
        places, factor = array("Q", (rows.places[place] for place in places)), factor * rows.factor
        rows = rows.rows
    found = _Chosen(rows, places, factor)
    return list(found) if isinstance(rows, list) else found


def joined(parts: Sequence[Sequence[Row]]) -> Sequence[Row]:
    """Return rows of several one after the other: a list of lists, a view where some are read lazily."""
    if all(isinstance(part, list) for part in parts):
        return [row for part in parts for row in part]
    return parts[0] if len(parts) == 1 else _Joined(parts)
