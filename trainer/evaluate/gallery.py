"""The worst and the best drawings of a run, as small pictures that a page carries in itself."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from PIL import Image

from ...uso_model.errors import UserError
from ...uso_model.untrusted import named
from .bench import TASKS, Bench, Row, Task, read_bench
from .looks import look_at, opened
from .run_pictures import picture_path
from .scores import Header, MeasureCard, Score
from .summary import ordered
from .together import ScoredRun

__all__ = [
    "BenchFiles",
    "Gallery",
    "Shown",
    "bench_of",
    "changed",
    "galleries",
    "open_bench",
    "small_jpeg",
    "thumbnail",
]

MOST = 6
"""Pictures at either end."""
_SIDE = 160
_FED: dict[Task, tuple[str, ...]] = {"subject": ("subject",), "style": ("style",), "control": ()}
"""References of the tasks that have not both: of the others no end is worth a look."""


@dataclass(frozen=True)
class BenchFiles:
    """A bench that is still where it was."""

    folder: Path
    bench: Bench
    rows: dict[str, Row]


@dataclass(frozen=True)
class Shown:
    """A drawing beside its references."""

    name: str
    value: float
    prompt: str
    drawing: str | None
    """As a data: URI, and so the others; None where the file is gone or has changed."""
    references: list[str] = field(default_factory=list)
    instead: str = "not there any more"
    """What is said where there is no drawing."""


@dataclass(frozen=True)
class Gallery:
    """Both ends of what a run has drawn for a task, by one measure."""

    run: str
    task: Task
    measure: str
    worst: list[Shown]
    best: list[Shown]


def bench_of(header: Header, moved: Path | None) -> BenchFiles | None:
    """Return the bench of scores, None where it is not where it was any more.

    Raises:
        UserError: it is not where it was moved to.
    """
    where = moved or (Path(header.bench_folder) if header.bench_folder else None)
    found = open_bench(where, header.bench)
    if moved is not None and found is None:
        raise UserError(f"got --bench {named(moved)}, expected the bench that was scored; correct the path")
    return found


def open_bench(folder: Path | None, digest: str) -> BenchFiles | None:
    """Return the bench in a folder, None where there is none or another one."""
    try:
        bench, rows, found = read_bench(folder) if folder is not None else (None, [], "")
    except (UserError, OSError):
        return None
    if folder is None or bench is None or found != digest:
        return None
    return BenchFiles(folder, bench, {row.id: row for row in rows})


def galleries(runs: Sequence[ScoredRun], bench: BenchFiles | None) -> list[Gallery]:
    """Return the worst and best of each run and task, by the first measure of subjects and the first of styles."""
    reference = lru_cache(maxsize=None)(thumbnail)
    found = []
    for run in runs:
        for task in TASKS:
            mine = [score for score in run.scores if score.task == task and score.whose == "model"]
            for card in _chosen(run.header.measures):
                if card.sees not in _FED.get(task, (card.sees,)):
                    continue
                column = card.columns[0]
                known = [score for score in mine if score.values.get(column) is not None]
                known.sort(key=lambda score: (score.values[column] or 0, score.row, score.sample))
                if not known:
                    continue
                most = min(MOST, (len(known) + 1) // 2)
                ends = [
                    [_shown(run, score, column, bench, reference) for score in end]
                    for end in (known[:most], known[-most:][::-1])
                ]
                found.append(Gallery(run.name, task, card.name, *ends))
    return found


def _chosen(cards: Sequence[MeasureCard]) -> list[MeasureCard]:
    chosen: dict[str, MeasureCard] = {}
    for card in ordered(cards):
        if card.sees in ("subject", "style") and card.better == "higher":
            chosen.setdefault(card.sees, card)
    return list(chosen.values())


def _shown(run: ScoredRun, score: Score, column: str, bench: BenchFiles | None, reference) -> Shown:
    name = f"{score.row}_{score.sample}.png"
    row = bench.rows.get(score.row) if bench else None
    references = []
    if bench is not None and row is not None:
        keys = [key for key in (row.content, row.style) if key is not None]
        references = [reference(bench.folder / bench.bench.pictures[key].path) for key in keys]
    path = picture_path(run.folder, score)
    other = changed(path, score)
    return Shown(
        name,
        score.values[column] or 0.0,
        row.prompt if row else "",
        None if other else thumbnail(path),
        [thumbnail for thumbnail in references if thumbnail],
        "changed since it was scored" if other else "not there any more",
    )


def changed(path: Path, score: Score) -> bool:
    """Say whether a drawing is there and is another than the one that was scored."""
    picture = opened(path) if score.sha256 else "missing"
    return isinstance(picture, Image.Image) and look_at(picture).sha256 != score.sha256


def thumbnail(path: Path, side: int = _SIDE) -> str | None:
    """Return a small copy of a picture as a data: URI, None where it cannot be opened."""
    picture = opened(path)
    if not isinstance(picture, Image.Image):
        return None
    return f"data:image/jpeg;base64,{base64.b64encode(small_jpeg(picture, side)).decode()}"


def small_jpeg(picture: Image.Image, side: int) -> bytes:
    """Return the file of a small copy of a picture, which is made small itself."""
    picture.thumbnail((side, side), Image.Resampling.LANCZOS)
    data = io.BytesIO()
    picture.save(data, "JPEG", quality=85)
    return data.getvalue()
