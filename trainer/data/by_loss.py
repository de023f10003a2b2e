"""Rows in the order of their losses in a run, for finding those that do not fit the others."""

from __future__ import annotations

import itertools
import statistics
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from ...uso_model.errors import UserError
from ..engine.row_losses import RowLoss, read_row_losses
from ..recipe import TrainConfig
from ..run_folder import read_run
from .manifest import read_manifest

__all__ = ["Standing", "by_loss", "standings"]

_NEAR, _MOST_NEAR = 8, 100
"""Losses to either side in time, at least and at most, whose mean is what is usual there."""

_FEW = 5
"""Times that a row should have been seen before its ratio says much."""


class Standing(NamedTuple):
    """How a row's losses compare."""

    id: str
    ratio: float
    """Mean of the row's losses, each over what is usual at its time."""
    loss: float
    """Mean of the losses as they are."""
    n: int
    """How often the row was seen."""


def by_loss(run_dir: Path) -> str:
    """Return a table of a run's rows, the one with the highest loss first.

    A loss depends on the time of the noise far more than on the row, so each is divided by the mean at its time.

    Raises:
        UserError: the folder holds no run, or one that kept no losses.
    """
    run_dir = Path(run_dir)
    config, found = read_run(run_dir), standings(read_row_losses(run_dir))
    targets = _targets(config)
    wide = max(len("id"), *(len(row.id) for row in found))
    lines = [f"{'id':<{wide}}  ratio    loss     n  target"]
    for row in found:
        lines.append(f"{row.id:<{wide}}  {row.ratio:5.2f}  {row.loss:6.4f}  {row.n:4d}  {targets.get(row.id, '')}")
    note = "ratio: the row's losses over what is usual at the same noise; look at the rows at the top, 1 is usual"
    if statistics.median(row.n for row in found) < _FEW:
        note += f"\nmost rows were seen fewer than {_FEW} times: train on before judging them"
    return "\n".join([*lines, "", note])


def standings(losses: Sequence[RowLoss]) -> list[Standing]:
    """Return the standing of each row, the one with the highest loss first."""
    ratios: dict[str, list[float]] = defaultdict(list)
    plain: dict[str, list[float]] = defaultdict(list)
    for entry, usual in _with_usual(losses):
        ratios[entry.id].append(entry.loss / usual if usual else 1.0)
        plain[entry.id].append(entry.loss)
    means = statistics.fmean
    found = [Standing(name, means(of), means(plain[name]), len(of)) for name, of in ratios.items()]
    return sorted(found, key=lambda row: (-row.ratio, row.id))


def _with_usual(losses: Sequence[RowLoss]) -> Iterator[tuple[RowLoss, float]]:
    """Yield each loss with the mean of those at about its time."""
    ordered = sorted(losses, key=lambda entry: entry.t)
    near = min(_MOST_NEAR, max(_NEAR, len(ordered) // 20))
    sums = [0.0, *itertools.accumulate(entry.loss for entry in ordered)]
    for place, entry in enumerate(ordered):
        first, last = max(0, place - near), min(len(ordered), place + near + 1)
        yield entry, (sums[last] - sums[first]) / (last - first)


def _targets(config: TrainConfig) -> dict[str, str]:
    """Return the target pictures by row, as far as the manifests are there."""
    found: dict[str, str] = {}
    for source in config.data.sources:
        try:
            for row in read_manifest(source.path, split=None):
                found[row.id] = f"{found[row.id]}, {row.target}" if row.id in found else str(row.target)
        except (UserError, OSError):
            continue
    return found
