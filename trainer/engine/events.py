"""Events of a run for the program that started it: one JSON object a line, off unless a command opens them.

What a reader may expect is written in docs/training.md; `PROTOCOL` is its version.
"""

from __future__ import annotations

import json
import math
import os
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from queue import SimpleQueue
from typing import Any

__all__ = ["EVENTS", "PROTOCOL", "Events"]

PROTOCOL = 1

FIRST, LAST = "start", ("done", "stopped", "error")
"""The event before which none is written, and those after which none is."""

EVERY = 0.1
"""Seconds between two events of one kind that come often."""

WAITING = 200
"""Events that wait for a slow reader before those that come often are left out."""

PATIENCE = 5.0
"""Seconds that the last events have to be written in."""


class Events:
    """A place for events. While it is closed, which it is at first, they are dropped.

    They are written on a thread, so that a run never waits for whoever reads, and a reader that is gone or does not
    read ends nothing.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lines: SimpleQueue[str | None] | None = None
        self._held: list[str] = []
        self._started = self._ended = False
        self._last: dict[str, float] = {}
        self._writer: threading.Thread | None = None

    @property
    def wanted(self) -> bool:
        """Whether somebody reads."""
        return self._lines is not None

    def open(self, write: Callable[[bytes], object]) -> None:
        """Begin to write.

        Args:
            write: takes a whole line; after an OSError it is not called again.
        """
        self._lines, self._held, self._last = SimpleQueue(), [], {}
        self._started = self._ended = False
        self._writer = threading.Thread(target=_write, args=(self._lines, write), daemon=True)
        self._writer.start()

    def close(self) -> None:
        """Write what waits and stop."""
        if self._lines is not None and self._writer is not None:
            self._lines.put(None)
            self._writer.join(PATIENCE)
        self._lines = self._writer = None

    def emit(self, event: str, **values: Any) -> None:
        """Write an event. None comes before `start`, and none after the last one.

        Args:
            event: its kind.
            values: what JSON can hold, and paths; numbers that are not finite become null.
        """
        lines = self._lines
        if lines is None:
            return
        line = json.dumps(_plain({"event": event, **values}), default=str) + "\n"
        with self._lock:
            if self._ended:
                return
            self._ended = event in LAST
            if event == FIRST:
                self._begin(lines, line)
            elif self._started:
                lines.put(line)
            else:
                self._held.append(line)
                if self._ended:  # what went wrong before anything was known of the run
                    known = {"event": FIRST, "protocol": PROTOCOL, "run": None, "name": None, "pid": os.getpid()}
                    self._begin(lines, json.dumps(known) + "\n")

    def often(self, event: str, always: bool = False, every: float = EVERY, **values: Any) -> None:
        """Write an event that may come many times a second, and leave most of them out.

        Args:
            event: its kind.
            always: write it whatever was written before.
            every: seconds between two of them.
            values: see `emit`.
        """
        lines = self._lines
        if lines is None:
            return
        now = time.monotonic()
        if not always and (now - self._last.get(event, -math.inf) < every or lines.qsize() > WAITING):
            return
        self._last[event] = now
        self.emit(event, **values)

    def _begin(self, lines: SimpleQueue[str | None], start: str) -> None:
        self._started = True
        for line in (start, *self._held):
            lines.put(line)
        self._held = []


EVENTS = Events()
"""Those of this process."""


def _write(lines: SimpleQueue[str | None], write: Callable[[bytes], object]) -> None:
    gone = False
    while (line := lines.get()) is not None:
        if not gone:
            try:
                write(line.encode("ascii"))
            except OSError:
                gone = True


def _plain(value: Any) -> Any:
    """Return a value as JSON holds it."""
    if isinstance(value, Mapping):
        return {str(name): _plain(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return str(value) if isinstance(value, Path) else value
