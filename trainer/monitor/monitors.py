"""The monitors that a recipe asks for."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

from ..data.dataset import TripletDataset
from ..encoders import Encoders
from ..encoders.judges import measured
from ..engine.loss import Monitor
from ..networks import Networks
from ..recipe import TrainConfig
from .drift import drift
from .prompts import fixed_rows, shown_prompts, shown_rows
from .samples import FOLDER, samples
from .stopping import checking, stoppable
from .validation import validation

__all__ = ["monitors"]

logger = logging.getLogger(__name__)

PROBE = 4
"""Rows of which the drift is measured."""


def monitors(
    config: TrainConfig,
    networks: Networks,
    encoders: Encoders,
    training: TripletDataset,
    held_out: TripletDataset | None,
    writes: bool,
    stopping: Callable[[], bool],
) -> list[Monitor]:
    """Return what is to be measured.

    Args:
        config: which, and how often.
        networks: of the run.
        encoders: for drawing.
        training: rows to draw and probe where none are held out.
        held_out: rows of split `validation`, None where the manifests have none.
        writes: this process writes the pictures.
        stopping: says whether the run is to stop, and nobody waits for a measurement.
    """
    settings, check = config.monitor, checking(stopping)
    if held_out is None and (settings.samples_every or settings.validation_every):
        logger.warning("no row has the split `validation`: no validation loss, and samples are drawn of training rows")
    rows = held_out or training.plain()
    found = []
    if settings.validation_every and held_out is not None:
        fixed = [sample for sample, _ in fixed_rows(held_out, settings.validation_rows)]
        found.append(validation(networks, fixed, sum(config.flow.guidance) / 2, settings.validation_every, check))
    if settings.validation_every and config.stage == "triplet":
        probe = [sample for sample, _ in fixed_rows(rows, PROBE)]
        found.append(drift(networks, probe, settings.validation_every))
    if settings.samples_every:
        shown = [*shown_prompts(rows, settings), *shown_rows(rows, settings.samples)]
        folder = config.loop.run_dir / FOLDER if writes else None
        if shown:
            encoders = replace(encoders, judges=measured(config, encoders))
            found.append(samples(networks, encoders, shown, rows.text(""), settings, folder, check))
    return [stoppable(monitor) for monitor in found]
