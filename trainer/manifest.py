"""The triplet manifest: JSON Lines, paths relative to the file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from .config import Settings

__all__ = ["Row", "read_manifest"]


class Row(Settings):
    """One triplet: the picture to learn and its references, any of which may be absent."""

    id: str
    target: Path
    style: list[Path] = Field(default_factory=list)
    content: Path | None = None
    prompt: str = ""
    layout: Literal["preserved", "shifted"] = "shifted"
    scores: dict[str, float] = Field(default_factory=dict)
    split: str = "train"


def read_manifest(path: str | Path, split: str | None = "train") -> list[Row]:
    """Return the rows of a manifest with absolute paths, only those of `split` (None: all).

    Raises:
        ValueError: a row that is no JSON or holds wrong fields, with file and line; or no row is left.
    """
    path = Path(path)
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = Row.model_validate(json.loads(line))
        except (json.JSONDecodeError, ValidationError) as error:
            reason = "; ".join(str(error).splitlines()[:3])
            raise ValueError(
                f"{path.name} line {number} is no triplet: {reason}; see the manifest format in the README"
            ) from error
        if split is None or row.split == split:
            rows.append(_absolute(row, path.parent))
    if not rows:
        raise ValueError(f"{path.name} holds no row of split {split!r}; check the file and the split names")
    return rows


def _absolute(row: Row, folder: Path) -> Row:
    return row.model_copy(
        update={
            "target": folder / row.target,
            "style": [folder / style for style in row.style],
            "content": None if row.content is None else folder / row.content,
        }
    )
