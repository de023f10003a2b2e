"""Export as parquet with pictures in it, as `datasets` of Hugging Face opens them.

Format: huggingface.co/docs/datasets, "Image": structs of bytes and path, and the features as JSON in the metadata.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ....uso_model.writing import unwritten
from ...data.parquet import ENDING
from .accepted import ABOUT, Accepted, picture_bytes
from .files import Parts, Split

if TYPE_CHECKING:
    import pyarrow

__all__ = ["features", "write_parquet"]

_ROWS, _BYTES = 100, 64 << 20
"""At most in one row group, which readers hold in memory."""
_TEXTS = ("id", "prompt", "layout", "split", *ABOUT)
_IMAGE = {"_type": "Image"}


def features(scores: Collection[str]) -> dict[str, Any]:
    """Return the columns as Hugging Face describes them in JSON."""
    text, number = {"dtype": "string", "_type": "Value"}, {"dtype": "float64", "_type": "Value"}
    several = {"feature": _IMAGE, "_type": "Sequence"}
    found: dict[str, Any] = {"id": text, "target": _IMAGE, "style": several, "content": several}
    found |= {name: text for name in _TEXTS} | {"number": {**number, "dtype": "int64"}, "weight": number}
    return found | ({"scores": {name: number for name in sorted(scores)}} if scores else {})


def _schema(scores: Collection[str]) -> pyarrow.Schema:
    import pyarrow as arrow

    image = arrow.struct([("bytes", arrow.binary()), ("path", arrow.string())])
    columns = [
        ("id", arrow.string()),
        ("target", image),
        ("style", arrow.list_(image)),
        ("content", arrow.list_(image)),
    ]
    columns += [(name, arrow.string()) for name in _TEXTS if name != "id"] + [
        ("number", arrow.int64()),
        ("weight", arrow.float64()),
    ]
    if scores:  # parquet has no structs without fields
        columns.append(("scores", arrow.struct([(name, arrow.float64()) for name in sorted(scores)])))
    told = json.dumps({"info": {"features": features(scores)}})
    return arrow.schema(columns, metadata={"huggingface": told})


class _File:
    def __init__(self, schema: pyarrow.Schema, path: Path):
        from pyarrow.parquet import ParquetWriter

        self._path, self._schema = path, schema
        self._writer = ParquetWriter(path, schema, use_dictionary=False)
        self._rows: list[dict[str, Any]] = []
        self._size = 0

    def add(self, row: dict[str, Any], size: int) -> None:
        self._rows.append(row)
        self._size += size
        if len(self._rows) >= _ROWS or self._size >= _BYTES:
            self._flush()

    def _flush(self) -> None:
        import pyarrow as arrow

        try:
            if self._rows:
                self._writer.write_table(arrow.Table.from_pylist(self._rows, self._schema))
        except OSError as error:
            raise unwritten(self._path, error) from error
        self._rows, self._size = [], 0

    def close(self) -> None:
        self._flush()
        try:
            self._writer.close()
        except OSError as error:
            raise unwritten(self._path, error) from error


def write_parquet(rows: Iterable[Accepted], folder: Path, scores: Collection[str]) -> dict[str, Split]:
    """Write rows to a new folder.

    Args:
        rows: of the set.
        folder: of the export.
        scores: names of all scores that a row has.

    Raises:
        UserError: a picture is damaged.
        OSError: a file cannot be written.
    """
    parts = Parts(folder, ENDING, partial(_File, _schema(scores)))
    try:
        for one in rows:
            size = 0

            def image(path: Path) -> dict[str, Any]:
                nonlocal size
                data, sha256, ending = picture_bytes(path)
                size += len(data)
                return {"bytes": data, "path": f"{sha256}{ending}"}

            row = {**one.fields(), "target": image(one.row.target)}
            row |= {"style": [*map(image, one.row.style)], "content": [*map(image, one.row.contents)]}
            parts.of(one.row.split, size).add(row, size)
    finally:
        parts.close()
    return parts.splits
