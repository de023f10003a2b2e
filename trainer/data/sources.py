"""The rows of all manifests of a recipe."""

from __future__ import annotations

from collections.abc import Sequence

from ...uso_model.errors import UserError
from ..settings.data import DataConfig
from .lazy_rows import joined, of_split
from .manifest import Row, read_manifest

__all__ = ["TRAIN", "VALIDATION", "every_row", "held_out_rows", "training_rows"]

TRAIN, VALIDATION = "train", "validation"
"""Splits: rows to learn from and rows that are held out. Rows of any other split are not used."""


def training_rows(data: DataConfig) -> Sequence[Row]:
    """Return the rows to train on, with their manifests' weights; `data.rows` cuts those of each manifest.

    Of several manifests some may hold training rows only, others validation rows only.

    Raises:
        UserError: a manifest cannot be read, or none holds a row of split `train`.
    """
    rows = _rows(data, TRAIN, data.rows)
    if not rows:
        names = ", ".join(source.path.name for source in data.sources)
        raise UserError(f"{names} holds no row of split {TRAIN!r}; check the file and the split names")
    return rows


def held_out_rows(data: DataConfig) -> Sequence[Row]:
    """Return the rows of split `validation`, of which there may be none.

    Raises:
        UserError: a manifest cannot be read.
    """
    return _rows(data, VALIDATION)


def every_row(data: DataConfig) -> Sequence[Row]:
    """Return the rows of all splits.

    Raises:
        UserError: a manifest cannot be read.
    """
    return _rows(data, None)


def _rows(data: DataConfig, split: str | None, most: int | None = None) -> Sequence[Row]:
    parts = []
    for source in data.sources:
        rows = of_split(read_manifest(source.path, None), split, source.weight)
        parts.append(rows[:most])
    return joined(parts)
