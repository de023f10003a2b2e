"""What is drawn and measured again and again: prompts of one's own, and rows of different targets."""

from __future__ import annotations

from ...uso_model.untrusted import regular_file
from ..data.batch import Sample
from ..data.dataset import TripletDataset
from ..data.manifest import Row
from ..engine.randomness import StepRandom
from ..settings.monitor import MonitorConfig
from .samples import Shown

__all__ = ["fixed_rows", "require_references", "shown_prompts", "shown_rows"]


def require_references(settings: MonitorConfig) -> None:
    """Make sure that the references of `monitor.prompts` are there.

    Raises:
        UserError: one is not.
    """
    for number, asked in enumerate(settings.prompts if settings.samples_every else []):
        for path in (*asked.style, *asked.contents):
            regular_file(path, f"correct monitor.prompts[{number}], or take it out")


def shown_prompts(data: TripletDataset, settings: MonitorConfig) -> list[Shown]:
    """Return the prompts of the settings, encoded."""
    return [Shown(data.prompted(asked), asked.prompt, asked.prompt, asked.seed, None) for asked in settings.prompts]


def shown_rows(data: TripletDataset, count: int) -> list[Shown]:
    """Return the rows that are drawn, encoded."""
    found = enumerate(fixed_rows(data, count))
    return [Shown(sample, row.id, row.prompt, seed, row.target) for seed, (sample, row) in found]


def fixed_rows(data: TripletDataset, count: int) -> list[tuple[Sample, Row]]:
    """Return rows, encoded with one fixed seed: the first of each target, and others where there are too few."""
    first = {row.target: row for row in reversed(data.rows)}
    rows = [row for row in data.rows if first[row.target] is row]
    rows = [*rows, *(row for row in data.rows if first[row.target] is not row)][:count]
    random = StepRandom(seed=0, step=0, first=0, rows=len(rows))
    return [(data.sample(row, random, place), row) for place, row in enumerate(rows)]
