"""How far a run is: the time that steps take, and the bar on a terminal."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence

from tqdm import tqdm

__all__ = ["Bar", "StepTimes"]

RECENT = 50
"""Steps whose mean is the rate."""


class StepTimes:
    """Seconds that a step takes, as a mean of the last ones. What lies between two steps is not counted."""

    def __init__(self, now: Callable[[], float] = time.monotonic):
        self._now = now
        self._began = 0.0
        self._recent: deque[float] = deque(maxlen=RECENT)
        self.steps = 0
        """Steps that have ended."""

    def begin(self) -> None:
        """Mark the start of a step."""
        self._began = self._now()

    def end(self) -> None:
        """Mark the end of a step."""
        # The first step of a process compiles, and reads files into memory: it tells nothing of the others.
        if self.steps == 1:
            self._recent.clear()
        self._recent.append(self._now() - self._began)
        self.steps += 1

    def mean(self) -> float:
        """Return the seconds of a step; at least one has ended."""
        return sum(self._recent) / len(self._recent)

    def seconds_left(self, steps: int) -> float | None:
        """Return how long so many steps will take; None while only the first is known."""
        return None if self.steps < 2 else steps * self.mean()

    def left(self, steps: int) -> str:
        """Return how long so many steps will take, as the end of a sentence; nothing while only the first is known."""
        seconds = self.seconds_left(steps)
        return "" if seconds is None else f", {_clock(seconds)} left"


class Bar(tqdm):
    """A bar with what is said behind it: tqdm's own rate and remaining time count samples and checkpoints too."""

    FORMAT = "{percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt}{status}"
    status = ""

    def __init__(self, total: int, initial: int, disable: bool):
        super().__init__(total=total, initial=initial, disable=disable, bar_format=self.FORMAT)

    @property
    def format_dict(self) -> dict:
        """Return what the bar is made of."""
        return {**super().format_dict, "status": self.status}

    def show(self, done: int, times: StepTimes, losses: Sequence[float], rate: float) -> None:
        """Move on.

        Args:
            done: finished steps.
            times: of the steps so far.
            losses: of the last steps, of which the mean is shown.
            rate: learning rate.
        """
        seconds = times.mean()
        speed = f"{seconds:.2f} s/step" if seconds >= 1 else f"{1 / max(seconds, 1e-9):.2f} steps/s"
        shown = f", loss {sum(losses) / len(losses):.4f}" if losses else ""
        self.status = f" [{speed}{shown}, lr {rate:.2e}{times.left(self.total - done)}]"
        self.update(done - self.n)


def _clock(seconds: float) -> str:
    """Return a time as hours, minutes and seconds."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}"
