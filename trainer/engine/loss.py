"""The loss terms of the loop, and what it measures on the way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from PIL import Image
from torch import Tensor

from .randomness import StepRandom

__all__ = ["LossTerm", "Measured", "Monitor"]

Measured = Mapping[str, float | Image.Image]
"""Numbers for the log, and pictures for loggers that show them."""


def _always(step: int) -> float:
    return 1.0


class LossTerm(NamedTuple):
    """One summand of the loss. Each is back-propagated on its own, so that their activations never coexist."""

    name: str
    losses: Callable[[Any, StepRandom], Mapping[str, Tensor]]
    """Batch and randomness to tensors: `loss`, the mean over the batch's rows, is back-propagated; `rows` (optional,
    `b`, detached) are the losses of the single rows; all other keys are scalars for the log."""
    weight: Callable[[int], float] = _always
    """Weight at a step; where it is 0 the term is not computed."""


class Monitor(NamedTuple):
    """A measurement that the loop makes now and then, with the averaged weights where the run keeps them."""

    name: str
    every: int
    """Steps between two measurements; one is made before the first step too."""
    measure: Callable[[int], Measured]
    """Finished steps to numbers and pictures; may be empty."""
