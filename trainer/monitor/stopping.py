"""Leaving a measurement that is under way when the run is to stop."""

from __future__ import annotations

import logging
from collections.abc import Callable

from ..engine.loss import Measured, Monitor

__all__ = ["Check", "StopAsked", "checking", "stoppable", "unchecked"]

logger = logging.getLogger(__name__)

Check = Callable[[], None]
"""Called by a measurement between two passes of the network; it may raise StopAsked."""


class StopAsked(Exception):
    """The run is to stop: what is being measured is not waited for."""


def checking(stopping: Callable[[], bool]) -> Check:
    """Return a check that asks whether the run is to stop."""

    def check() -> None:
        if stopping():
            raise StopAsked

    return check


def unchecked() -> None:
    """Go on."""


def stoppable(monitor: Monitor) -> Monitor:
    """Return a monitor that measures nothing where it was left."""

    def measure(step: int) -> Measured:
        try:
            return monitor.measure(step)
        except StopAsked:
            logger.info("%s at step %d is left out: the run is to stop", monitor.name, step)
            return {}

    return monitor._replace(measure=measure)
