"""What a long phase is doing, said while it lasts, so that nobody takes a silent program for a dead one."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from .events import EVENTS

__all__ = ["Phase", "telling"]

logger = logging.getLogger(__name__)

AFTER, EVERY = 5.0, 30.0
"""Seconds before a phase is spoken of, and between two times."""


class Phase:
    """A phase that lasts; who works in it may change `now`."""

    def __init__(self, what: str):
        self._now, self._began = what, time.monotonic()
        EVENTS.emit("phase", text=what, seconds=0)

    @property
    def seconds(self) -> int:
        """How long it has lasted."""
        return int(time.monotonic() - self._began)

    @property
    def now(self) -> str:
        """What is being done."""
        return self._now

    @now.setter
    def now(self, what: str) -> None:
        self._now = what
        EVENTS.often("phase", every=1.0, text=what, seconds=self.seconds)


@contextmanager
def telling(what: str, after: float = AFTER, every: float = EVERY) -> Iterator[Phase]:
    """Log what is being done once it has lasted, and again now and then; a quick phase is silent but for its event.

    Args:
        what: is done, such as `reading flux1-dev.safetensors`. The phase that is yielded may say more in its `now`.
        after: seconds before the first line.
        every: seconds between two lines.
    """
    phase, over = Phase(what), threading.Event()

    def tell() -> None:
        pause = after
        while not over.wait(pause):
            logger.info("%s ... (%d s)", phase.now, phase.seconds)
            EVENTS.often("phase", text=phase.now, seconds=phase.seconds)
            pause = every

    if os.environ.get("RANK", "0") != "0":  # another process does the same and tells of it
        yield phase
        return
    voice = threading.Thread(target=tell, daemon=True)
    voice.start()
    try:
        yield phase
    finally:
        over.set()
        voice.join()
