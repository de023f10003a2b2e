"""What a run makes beside its checkpoints may fail without ending it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from ..out_of_memory import advice
from ..reading.errors import shortened

__all__ = ["byproduct"]

logger = logging.getLogger(__name__)


@contextmanager
def byproduct(what: str, later: str) -> Iterator[None]:
    """Turn whatever goes wrong inside into a warning.

    Args:
        what: is being made, as the subject of a sentence.
        later: what to do about it, in the imperative.
    """
    try:
        yield
    except Exception as error:
        # All kinds: loggers and encoders raise what they like, and hours of training must not depend on it.
        reason = advice(error) or shortened(error) or type(error).__name__
        logger.warning("%s failed (%s); the run goes on. %s", what, reason, later)
        logger.debug("the traceback of it:", exc_info=True)
