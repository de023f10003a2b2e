"""Manifests looked through: every picture opened, every row counted, everything that is wrong listed."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ...uso_model.checkpoints.files import sha256_of
from ...uso_model.images import CONTENT_LONG_SIDE
from ..ahead import ahead
from ..encoders.interface import CountTokens
from ..settings.data import DataConfig
from .buckets import nearest_bucket, require_size
from .check_masks import mask_findings
from .findings import Picture, finite, notes, problems
from .manifest import Row, scan_manifest
from .pictures import OTHERWISE, open_picture

__all__ = ["Report", "check", "open_pictures"]

_LISTED = 50
_READERS = 8


@dataclass(frozen=True)
class Report:
    """What was found."""

    rows: dict[str, list[Row]]
    """Usable rows of each manifest."""
    buckets: Counter[tuple[int, int]]
    """Targets by width and height of their bucket."""
    pictures: int
    """Distinct picture files."""
    problems: list[str]
    """What must be mended."""
    notes: list[str]
    """What may be as intended."""

    def text(self) -> str:
        """Return tables of rows, buckets and scores, and the lists of problems and notes."""
        rows = [row for of_manifest in self.rows.values() for row in of_manifest]
        parts = [_table(("manifest", *_COUNTS), [(name, *_counted(found)) for name, found in self.rows.items()])]
        splits = {split: [row for row in rows if row.split == split] for split in sorted({row.split for row in rows})}
        parts.append(_table(("split", *_COUNTS), [(name, *_counted(found)) for name, found in splits.items()]))
        sizes = [(f"{width}x{height}", count) for (width, height), count in self.buckets.most_common()]
        parts.append(_table(("bucket", "targets"), sizes))
        names = sorted({name for row in rows for name in row.scores})
        scores = {name: [row.scores[name] for row in rows if finite(row, name)] for name in names}
        lines = [
            (n, len(v), f"{min(v):.3g}", f"{math.fsum(v) / len(v):.3g}", f"{max(v):.3g}")
            for n, v in scores.items()
            if v
        ]
        parts.append(_table(("score", "rows", "lowest", "mean", "highest"), lines))
        parts.append(f"{self.pictures} pictures, {len(self.problems)} problems, {len(self.notes)} notes")
        parts += [_listed("problem", self.problems), _listed("note", self.notes)]
        return "\n\n".join(part for part in parts if part)


def check(
    manifests: Sequence[Path],
    size: int | Sequence[int] = 1024,
    content_size: int = CONTENT_LONG_SIDE,
    count: CountTokens | None = None,
    data: DataConfig | None = None,
    known: Mapping[Path, Picture] | None = None,
) -> Report:
    """Open every picture of some manifests and compare their rows.

    Args:
        manifests: files.
        size: `data.size` of the training, for the buckets.
        content_size: `data.content_size` of the training.
        count: tokens of prompts; None: they are estimated by words.
        data: settings of a recipe, whose masks are opened too.
        known: pictures that have been opened already, by their absolute paths.

    Raises:
        UserError: a manifest is absent or no text, or `size` is none.
    """
    sizes = [size] if isinstance(size, int) else size
    for each in (*sizes, content_size):
        require_size(each)
    rows: dict[str, list[Row]] = {}
    wrong: list[str] = []
    for manifest in dict.fromkeys(map(Path, manifests)):
        found = list(scan_manifest(manifest))
        wrong += [row for row in found if isinstance(row, str)]
        rows[str(manifest)] = [row for row in found if isinstance(row, Row)]
        if not found:
            wrong.append(f"{manifest.name} is empty; expected a row per line")
    every = [row for of_manifest in rows.values() for row in of_manifest]
    paths = list(dict.fromkeys(path for row in every for path in row.pictures))
    pictures = dict(known or {}) | open_pictures([path for path in paths if path not in (known or {})])
    targets = [row.target for row in every if not pictures[row.target].problem]
    unmasked, of_masks = mask_findings(data, [row.target for row in every])
    return Report(
        rows,
        buckets=Counter(nearest_bucket(*pictures[path].size, each) for each in sizes for path in targets),
        pictures=len(paths),
        problems=[*wrong, *problems(rows, pictures, content_size), *unmasked],
        notes=[*notes(rows, pictures, sizes, count), *of_masks],
    )


def open_pictures(paths: Sequence[Path], otherwise: str = OTHERWISE) -> dict[Path, Picture]:
    """Open every picture whole, and return what each file holds, or what is wrong with it; see `open_picture`."""
    # Each may hold a picture of 100 megapixels.
    with ThreadPoolExecutor(min(_READERS, os.cpu_count() or 1)) as pool:
        return dict(zip(paths, ahead(pool, partial(_opened, otherwise=otherwise), paths), strict=True))


def _opened(path: Path, otherwise: str) -> Picture:
    try:
        picture = open_picture(path, otherwise=otherwise)
        return Picture(picture.size, sha256_of(path))
    except ValueError as error:
        return Picture(problem=str(error))


_COUNTS: dict[str, Callable[[Row], bool]] = {
    "rows": lambda row: True,
    "preserved": lambda row: row.layout == "preserved",
    "shifted": lambda row: row.layout == "shifted",
    "style": lambda row: bool(row.style),
    "content": lambda row: bool(row.contents),
    "prompt": lambda row: bool(row.prompt),
}
"""Columns of the tables: how many rows have what."""


def _counted(rows: Sequence[Row]) -> list[int]:
    return [sum(map(holds, rows)) for holds in _COUNTS.values()]


def _table(head: Sequence[str], lines: Sequence[Sequence[object]]) -> str:
    if not lines:
        return ""
    cells = [list(head), *([str(cell) for cell in line] for line in lines)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(head))]
    return "\n".join(
        "  ".join(
            [line[0].ljust(widths[0])] + [cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)]
        )
        for line in cells
    )


def _listed(kind: str, found: Sequence[str]) -> str:
    more = [f"... and {len(found) - _LISTED} more of this kind"] if len(found) > _LISTED else []
    return "\n".join([f"{kind}: {one}" for one in found[:_LISTED]] + more)
