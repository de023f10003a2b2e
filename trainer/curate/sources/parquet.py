"""Pictures of parquet files: bytes as Hugging Face keeps them, or names of files beside them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from ....uso_model.errors import UserError
from ....uso_model.untrusted import named, quoted
from ...data.parquet import Place, columns_of, parquet_files, picture_columns, read_cell, read_rows
from ...data.roots import Roots
from .source import KNOWN, Picture, about, file_fingerprint, key_problem, read_file, require_size

__all__ = ["parquet_pictures"]


def parquet_pictures(path: Path, style: str = "folder") -> Iterator[Picture | str]:
    """Yield the picture of each row of a file, or of those in a folder, and in place of one that is refused the reason.

    A file that changes is read anew as a whole, because its rows have no times; a source grows by further files.

    Raises:
        UserError: there is no parquet, or one without a column of pictures.
    """
    for file in parquet_files(path):
        name = file.relative_to(path).as_posix() if path.is_dir() else file.name
        try:
            schema = columns_of(file)
        except UserError as error:
            yield str(error)
            continue
        columns = picture_columns(schema)
        if not columns:
            raise UserError(
                f"{named(file)} has the columns {quoted(', '.join(schema.names))} and none of pictures; expected "
                "structs of bytes and path, bytes, or paths of files in a column such as image or path"
            )
        texts = [one for one in schema.names if one in {*KNOWN, style} and one not in columns]
        yield from _of_file(file, name, columns[0], texts, style)


def _of_file(file: Path, name: str, column: str, others: list[str], style: str) -> Iterator[Picture | str]:
    fingerprint, folder = file_fingerprint(file.stat()), name.rpartition("/")[0]
    try:
        for number, (place, said) in enumerate(read_rows(file, others)):
            read = partial(_read, place, column)
            yield Picture(f"{name}/{number}", fingerprint, about(said, style, folder), read)
    except UserError as error:
        yield str(error)


def _read(place: Place, column: str) -> bytes:
    """Return the bytes of a picture: see `Picture.read`."""
    value: Any = read_cell(place, column)
    while isinstance(value, list):  # the first of several
        value = value[0] if value else None
    data = value.get("bytes") if isinstance(value, dict) else value
    if isinstance(data, bytes):
        require_size(len(data), f"a picture in {place.file.name}")
        return data
    path = value.get("path") if isinstance(value, dict) else value
    if not isinstance(path, str) or not path:
        raise UserError(f"{named(place.file)} has no picture in row {place.number} of group {place.group}")
    problem = key_problem(path) or Roots(place.file.parent).problem(Path(path))
    if problem:
        raise UserError(f"{named(place.file)} names {quoted(path)}, which {problem}")
    return read_file(place.file.parent / path)
