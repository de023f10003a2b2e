"""Parquet files, row by row, with pictures as Hugging Face keeps them: `{"bytes", "path"}`, or as names of files.

Format: huggingface.co/docs/datasets, "Image" (storage of the feature); the features stand as JSON in the file's
metadata under `huggingface`.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ...uso_model.errors import UserError
from ...uso_model.untrusted import named, quoted
from .files_of import files_of

if TYPE_CHECKING:
    import pyarrow

__all__ = ["ENDING", "Place", "columns_of", "parquet_files", "picture_columns", "read_cell", "read_rows"]

ENDING = ".parquet"
_LARGEST = 4 << 30
"""Bytes of a row group, which is in memory as a whole."""
_DAMAGE = (OSError, ValueError, LookupError, TypeError, RuntimeError)
"""What pyarrow raises on damaged files."""
_NAMES = ("target", "image", "img", "picture", "photo", "jpg", "png", "path", "image_path", "file_name", "file")
"""Columns that hold the picture, the first one that is there."""


class Place(NamedTuple):
    """Of a row in a file."""

    file: Path
    group: int
    """Number of its row group, which is read as a whole."""
    number: int
    """In the group."""


def parquet_files(path: Path) -> list[Path]:
    """Return the files that a path names: itself, or those in a folder, in the order of their names.

    Raises:
        UserError: there is none.
    """
    return files_of(path, ENDING, "a parquet data set")


def columns_of(file: Path) -> pyarrow.Schema:
    """Return the names and types of a file's columns.

    Raises:
        UserError: it is no parquet.
    """
    with _opened(file) as opened:
        return opened.schema_arrow


def picture_columns(schema: pyarrow.Schema) -> list[str]:
    """Return the columns that hold pictures: by their types those of bytes, else by their names those of paths."""
    import pyarrow.types as types

    def has_bytes(kind: pyarrow.DataType) -> bool:
        if types.is_list(kind) or types.is_large_list(kind):
            return has_bytes(kind.value_type)
        if types.is_struct(kind):
            return kind.get_field_index("bytes") >= 0
        return types.is_binary(kind) or types.is_large_binary(kind)

    found = [field.name for field in schema if has_bytes(field.type)]
    named_so = [name for name in _NAMES if name in schema.names]
    return sorted(found, key=lambda name: _NAMES.index(name) if name in _NAMES else len(_NAMES)) or named_so


def read_rows(file: Path, columns: Sequence[str], at_once: int = 1000) -> Iterator[tuple[Place, dict[str, Any]]]:
    """Yield the rows of a file with their places, some columns of each; no other column is read.

    Args:
        file: a parquet file.
        columns: their names.
        at_once: rows that are held in memory.

    Raises:
        UserError: it is no parquet, or damaged.
    """
    with _opened(file) as opened:
        for group in range(opened.num_row_groups):
            number = 0
            if not columns:  # there is nothing to read but how many rows there are
                yield from ((Place(file, group, n), {}) for n in range(opened.metadata.row_group(group).num_rows))
                continue
            try:
                for batch in opened.iter_batches(at_once, row_groups=[group], columns=list(columns)):
                    for row in batch.to_pylist():
                        yield Place(file, group, number), row
                        number += 1
            except _DAMAGE as error:
                raise _damaged(file, error) from error


class _Groups:
    """The row groups that were read last, because rows are asked for one after the other."""

    def __init__(self, most: int = 2):
        self._most = most
        self._kept: OrderedDict[tuple[Path, int, int, str], Any] = OrderedDict()
        self._lock = threading.Lock()

    def column(self, place: Place, column: str) -> Any:
        key = (place.file, place.file.stat().st_mtime_ns, place.group, column)
        with self._lock:
            if key not in self._kept:
                with _opened(place.file) as opened:
                    size = opened.metadata.row_group(place.group).total_byte_size
                    if size > _LARGEST:
                        raise UserError(
                            f"{named(place.file)} has a row group of {size} bytes, expected at most {_LARGEST}; write "
                            "it with smaller ones"
                        )
                    self._kept[key] = opened.read_row_group(place.group, columns=[column]).column(0)
            self._kept.move_to_end(key)
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
            return self._kept[key]


_GROUPS = _Groups()


def read_cell(place: Place, column: str) -> Any:
    """Return what a column holds in a row.

    Raises:
        OSError: the file cannot be read, or is another one by now.
        UserError: it is damaged.
    """
    try:
        return _GROUPS.column(place, column)[place.number].as_py()
    except _DAMAGE as error:
        raise _damaged(place.file, error) from error


def _opened(file: Path) -> Any:
    from pyarrow.parquet import ParquetFile

    try:
        return ParquetFile(file)
    except _DAMAGE as error:
        raise _damaged(file, error) from error


def _damaged(file: Path, error: Exception) -> Exception:
    """Return what to raise: an error of the system, which may pass, and one of ours stay what they are."""
    if isinstance(error, UserError) or (isinstance(error, OSError) and error.errno is not None):
        return error
    return UserError(f"{named(file)} cannot be read as parquet ({quoted(error)}); make it again")
