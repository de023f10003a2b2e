"""What a stylisation expert trains on: of each accepted row, its two pictures in one style, one as the reference."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from ..data.manifest import Row, read_manifest
from ..data.names import MANIFEST
from .ledger import Ledger
from .made_of import require_own_pictures
from .making.instructions import by_hash
from .run_folder import candidates, read_run
from .steps import STYLE

__all__ = ["PAIRS", "pairs"]

PAIRS = "pairs.jsonl"


def pairs(run: Path) -> Iterator[Row]:
    """Yield rows of the trainer for each row of a run's manifest.

    The first learns to draw the style reference of the target by what the expert was told, as the paper's expert does
    (arXiv 2508.18966, 3.2). Where the source says what its picture shows, two more learn to draw that picture, which no
    model has made: of the style reference, and of another accepted picture of its style group.

    Raises:
        UserError: the run was not accepted yet, or not since it was made by other settings.
    """
    _, pipeline = read_run(run)
    told = {progress.row.id: progress for progress in candidates(pipeline, Ledger(run))}
    accepted = [row for row in read_manifest(run / MANIFEST, split=None) if row.id in told]
    require_own_pictures(run, pipeline, accepted, {row: progress.pictures for row, progress in told.items()})
    groups: dict[tuple[str, str], set[str]] = defaultdict(set)
    for row in accepted:
        if group := told[row.id].row.about.get("style", ""):
            groups[group, row.split].add(str(row.target))
    for row in accepted:
        progress = told[row.id]
        common = {"content": None, "layout": "shifted", "split": row.split, "scores": row.scores}
        prompt = str(progress.entries[STYLE].notes.get("prompt", "")) if STYLE in progress.entries else ""
        if prompt and row.style:
            yield Row(id=f"{row.id}-reference", target=row.style[0], style=[row.target], prompt=prompt, **common)
        caption = progress.prompt or progress.row.about.get("prompt", "")
        if not caption:
            continue
        if row.style:
            yield Row(id=f"{row.id}-target", target=row.target, style=row.style[:1], prompt=caption, **common)
        others = groups[progress.row.about.get("style", ""), row.split] - {str(row.target)}
        if others:
            other = Path(by_hash(row.id, others))
            yield Row(id=f"{row.id}-group", target=row.target, style=[other], prompt=caption, **common)
