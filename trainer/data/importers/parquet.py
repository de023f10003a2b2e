"""Parquet files with pictures in them: exports of `uso curate`, or any of Hugging Face."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ....uso_model.errors import UserError
from ....uso_model.untrusted import named
from ..parquet import columns_of, parquet_files, picture_columns, read_rows
from .found import Found
from .unpacking import add_unpacked, put_in_order

__all__ = ["import_parquet"]

_AT_ONCE = 16


def import_parquet(source: Path, found: Found) -> None:
    """Find the rows of a file, or of those in a folder.

    Raises:
        UserError: there is none, one is damaged, or holds no pictures.
        OSError: a picture cannot be written.
    """
    folder = source if source.is_dir() else source.parent
    for file in parquet_files(source):
        schema = columns_of(file)
        columns = picture_columns(schema)
        for number, (_, row) in enumerate(read_rows(file, schema.names, _AT_ONCE)):
            pictures = list(_pictures(row, columns))
            if not pictures:
                raise UserError(f"{named(file)} has no bytes of a picture in row {number}; name its files instead")
            scores = row.get("scores")
            if isinstance(scores, dict):  # every row has all names, those that it lacks without a value
                row["scores"] = {name: value for name, value in scores.items() if value is not None}
            add_unpacked(found, folder, f"{file.stem}/{number}", str(folder), row, pictures)
    put_in_order(found)


def _pictures(row: Mapping[str, Any], columns: list[str]) -> Iterator[tuple[str, bytes]]:
    """Yield name and bytes of a row's pictures."""
    for name in columns:
        values = row[name]
        for value in values if isinstance(values, list) else [values]:
            data = value.get("bytes") if isinstance(value, dict) else value
            if isinstance(data, bytes):
                yield name, data
