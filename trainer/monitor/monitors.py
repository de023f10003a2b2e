"""The monitors that a recipe asks for."""

from __future__ import annotations

import logging

from ..data.batch import Sample
from ..data.dataset import TripletDataset
from ..data.manifest import Row
from ..encoders import Encoders
from ..engine.loss import Monitor
from ..engine.randomness import StepRandom
from ..networks import Networks
from ..recipe import TrainConfig
from .drift import drift
from .samples import Shown, samples
from .validation import validation

__all__ = ["monitors"]

logger = logging.getLogger(__name__)

FOLDER = "samples"
"""Of the grids, in the run's folder."""


def monitors(
    config: TrainConfig,
    networks: Networks,
    encoders: Encoders,
    training: TripletDataset,
    held_out: TripletDataset | None,
    writes: bool,
) -> list[Monitor]:
    """Return what is to be measured.

    Args:
        config: which, and how often.
        networks: of the run.
        encoders: for drawing.
        training: rows to draw and probe where none are held out.
        held_out: rows of split `validation`, None where the manifests have none.
        writes: this process writes the pictures.
    """
    settings = config.monitor
    if held_out is None and (settings.samples_every or settings.validation_every):
        logger.warning("no row has the split `validation`: no validation loss, and samples are drawn of training rows")
    rows = held_out or training
    found = []
    if settings.validation_every and held_out is not None:
        fixed = [sample for sample, _ in _fixed(held_out, settings.validation_rows)]
        found.append(validation(networks, fixed, sum(config.flow.guidance) / 2, settings.validation_every))
    if settings.validation_every and config.stage == "triplet":
        probe = [sample for sample, _ in _fixed(rows, settings.samples)]
        found.append(drift(networks, probe, settings.validation_every))
    if settings.samples_every:
        shown = [_shown(sample, row) for sample, row in _fixed(rows, settings.samples)]
        folder = config.loop.run_dir / FOLDER if writes else None
        found.append(samples(networks, encoders, shown, rows.text(""), settings, folder))
    return found


def _fixed(data: TripletDataset, count: int) -> list[tuple[Sample, Row]]:
    """Return the first rows, encoded with one fixed seed."""
    rows = data.rows[:count]
    random = StepRandom(seed=0, step=0, first=0, rows=len(rows))
    return [(data.sample(row, random, place), row) for place, row in enumerate(rows)]


def _shown(sample: Sample, row: Row) -> Shown:
    return Shown(
        sample,
        row.target,
        row.style[0] if sample.styles else None,
        row.contents[0] if sample.contents else None,
    )
