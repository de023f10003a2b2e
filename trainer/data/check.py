"""Manifests looked through: every picture opened, every row counted, everything that is wrong listed."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from ...uso_model.checkpoints.files import sha256_of
from ...uso_model.images import CONTENT_LONG_SIDE, fitted_size
from ...uso_model.packing import PIXELS_PER_TOKEN
from .buckets import WIDEST, nearest_bucket, require_size
from .manifest import Row, scan_manifest
from .pictures import open_picture

__all__ = ["Report", "check"]

_LISTED = 50
_READERS = 8
_ENLARGED = 2.0


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
        scores = {name: [row.scores[name] for row in rows if _finite(row, name)] for name in names}
        lines = [
            (n, len(v), f"{min(v):.3g}", f"{math.fsum(v) / len(v):.3g}", f"{max(v):.3g}")
            for n, v in scores.items()
            if v
        ]
        parts.append(_table(("score", "rows", "lowest", "mean", "highest"), lines))
        parts.append(f"{self.pictures} pictures, {len(self.problems)} problems, {len(self.notes)} notes")
        parts += [_listed("problem", self.problems), _listed("note", self.notes)]
        return "\n\n".join(part for part in parts if part)


class _Picture(NamedTuple):
    """What a file holds: its size and the hash of its bytes, or what is wrong with it."""

    size: tuple[int, int] = (0, 0)
    digest: str = ""
    problem: str = ""


def check(manifests: Sequence[Path], size: int = 1024, content_size: int = CONTENT_LONG_SIDE) -> Report:
    """Open every picture of some manifests and compare their rows.

    Args:
        manifests: files.
        size: `data.size` of the training, for the buckets.
        content_size: `data.content_size` of the training.

    Raises:
        UserError: a manifest is absent or no text, or `size` is none.
    """
    require_size(size)
    rows: dict[str, list[Row]] = {}
    problems: list[str] = []
    for manifest in dict.fromkeys(map(Path, manifests)):
        found = list(scan_manifest(manifest))
        problems += [row for row in found if isinstance(row, str)]
        rows[str(manifest)] = [row for row in found if isinstance(row, Row)]
        if not found:
            problems.append(f"{manifest.name} is empty; expected a row per line")
    every = [row for of_manifest in rows.values() for row in of_manifest]
    paths = list(dict.fromkeys(path for row in every for path in row.pictures))
    # Each may hold a picture of 100 megapixels.
    with ThreadPoolExecutor(min(_READERS, os.cpu_count() or 1)) as pool:
        pictures = dict(zip(paths, pool.map(_opened, paths), strict=True))
    problems += [picture.problem for picture in pictures.values() if picture.problem]
    problems += [
        *_shared_ids(rows),
        *_wrong_scores(every),
        *_alike(every, pictures),
        *_thin(every, pictures, content_size),
    ]
    targets = [row.target for row in every if not pictures[row.target].problem]
    return Report(
        rows,
        buckets=Counter(nearest_bucket(*pictures[path].size, size) for path in targets),
        pictures=len(paths),
        problems=problems,
        notes=[*_ill_fitting(dict.fromkeys(targets), pictures, size), *_own_style(every, pictures)],
    )


def _opened(path: Path) -> _Picture:
    try:
        picture = open_picture(path)
        return _Picture(picture.size, sha256_of(path))
    except ValueError as error:
        return _Picture(problem=str(error))


def _shared_ids(rows: dict[str, list[Row]]) -> Iterator[str]:
    first: dict[str, str] = {}
    for manifest, of_manifest in rows.items():
        for row in of_manifest:
            if first.setdefault(row.id, manifest) != manifest:
                yield f"{manifest} repeats the id {row.id!r} of {first[row.id]}; every row needs its own"


def _finite(row: Row, score: str) -> bool:
    return math.isfinite(row.scores.get(score, math.nan))


def _wrong_scores(rows: Iterable[Row]) -> Iterator[str]:
    for row in rows:
        for name, value in row.scores.items():
            if not _finite(row, name):
                yield f"row {row.id} has the score {name} = {value}, expected a finite number"


def _alike(rows: Iterable[Row], pictures: dict[Path, _Picture]) -> Iterator[str]:
    """Yield rows that repeat another one, and targets that are both trained on and held out."""
    same: dict[tuple, str] = {}
    splits: dict[str, Row] = {}
    for row in rows:
        digests = [pictures[path].digest for path in row.pictures]
        if not all(digests):
            continue  # listed as a broken picture
        first = same.setdefault((*digests, row.content is None, row.prompt), row.id)
        if first != row.id:
            yield f"row {row.id} repeats row {first}: the same target, references and prompt; remove one"
        other = splits.setdefault(digests[0], row)
        if other.split != row.split:
            yield (
                f"row {row.id} of split {row.split} has the same target as row {other.id} of split {other.split}; what "
                "is held out must not be trained on"
            )


def _thin(rows: Iterable[Row], pictures: dict[Path, _Picture], content_size: int) -> Iterator[str]:
    """Yield pictures that are too thin or too small for a token."""
    contents = dict.fromkeys(row.content for row in rows if row.content is not None)
    for path in contents:
        if not pictures[path].problem:
            try:
                fitted_size(*pictures[path].size, content_size)
            except ValueError as error:
                yield f"{path}: {error}"
    for path in dict.fromkeys(row.target for row in rows):
        width, height = pictures[path].size
        if not pictures[path].problem and min(width, height) < PIXELS_PER_TOKEN:
            yield f"{path} has {width}x{height} pixels, less than one token of {PIXELS_PER_TOKEN}; use a larger picture"


def _ill_fitting(targets: Iterable[Path], pictures: dict[Path, _Picture], size: int) -> Iterator[str]:
    """Yield targets that are much enlarged, or of which much is cropped, to fit their bucket."""
    for path in targets:
        width, height = pictures[path].size
        bucket = nearest_bucket(width, height, size)
        scale = max(bucket[0] / width, bucket[1] / height)
        if scale > _ENLARGED:
            yield f"{path} has {width}x{height} pixels and is enlarged {scale:.1f} times; train at a smaller data.size"
        if max(width, height) > WIDEST * min(width, height):
            lost = 1 - bucket[0] * bucket[1] / (scale * scale * width * height)
            yield f"{path} has {width}x{height} pixels, beyond 3:1; {lost:.0%} of it is cropped away"


def _own_style(rows: Iterable[Row], pictures: dict[Path, _Picture]) -> Iterator[str]:
    for row in rows:
        digest = pictures[row.target].digest
        if digest and digest in (pictures[path].digest for path in row.style):
            yield f"row {row.id} has its target as style reference; that teaches to copy the picture"


_COUNTS: dict[str, Callable[[Row], bool]] = {
    "rows": lambda row: True,
    "preserved": lambda row: row.layout == "preserved",
    "shifted": lambda row: row.layout == "shifted",
    "style": lambda row: bool(row.style),
    "content": lambda row: row.content is not None,
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
