"""The rows of all manifests of a recipe."""

from __future__ import annotations

from ...uso_model.errors import UserError
from ..settings.data import DataConfig
from .manifest import Row, read_manifest

__all__ = ["TRAIN", "VALIDATION", "every_row", "held_out_rows", "training_rows"]

TRAIN, VALIDATION = "train", "validation"
"""Splits: rows to learn from and rows that are held out. Rows of any other split are not used."""


def training_rows(data: DataConfig) -> list[Row]:
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


def held_out_rows(data: DataConfig) -> list[Row]:
    """Return the rows of split `validation`, of which there may be none.

    Raises:
        UserError: a manifest cannot be read.
    """
    return _rows(data, VALIDATION)


def every_row(data: DataConfig) -> list[Row]:
    """Return the rows of all splits.

    Raises:
        UserError: a manifest cannot be read.
    """
    return _rows(data, None)


def _rows(data: DataConfig, split: str | None, most: int | None = None) -> list[Row]:
    found: list[Row] = []
    for source in data.sources:
        rows = [row for row in read_manifest(source.path, None) if split in (None, row.split)][:most]
        found += [row.model_copy(update={"weight": row.weight * source.weight}) for row in rows]
    return found
