"""How far a run is: a line that stays in its place on a terminal, elsewhere a line of the log now and then."""

from __future__ import annotations

import logging
import sys
import threading
import time
from types import TracebackType

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from .driver import Counts

__all__ = ["Live", "clock", "told"]

logger = logging.getLogger(__name__)

_TERMINAL, _LOG = 0.5, 60.0
"""Seconds between two looks."""


class Live:
    """Shows the counts of a driver while it runs, from a thread."""

    def __init__(self, counts: Counts):
        """Take what is looked at."""
        self._counts = counts
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._show, daemon=True)
        self._bar = tqdm(
            total=counts.total, unit="row", disable=not sys.stderr.isatty(), bar_format=_format(counts.total)
        )
        self._redirected = logging_redirect_tqdm()
        self._began = time.monotonic()

    def __enter__(self) -> Live:
        self._redirected.__enter__()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
        self._look()
        self._bar.close()
        self._redirected.__exit__(kind, error, trace)
        logger.info("%s", told(self._counts, time.monotonic() - self._began))

    def _show(self) -> None:
        while not self._ended.wait(_LOG if self._bar.disable else _TERMINAL):
            self._look()
            if self._bar.disable:
                logger.info("%s", told(self._counts, time.monotonic() - self._began))

    def _look(self) -> None:
        if not self._bar.disable:
            self._bar.set_postfix_str(_steps(self._counts), refresh=False)
            self._bar.update(self._counts.standings.total() - self._bar.n)


def _format(total: int | None) -> str:
    bar = "{percentage:3.0f}%|{bar:20}| {n_fmt}/{total_fmt} rows" if total else "{n_fmt} rows"
    return bar + " [{elapsed}<{remaining}{postfix}]"


def _steps(counts: Counts) -> str:
    """Return what is being done and what waits, a step after the other."""
    names = dict.fromkeys((*counts.running, *counts.waiting))
    return " ".join(
        f"{name} {counts.running[name]}+{counts.waiting[name]}"
        for name in names
        if counts.running[name] or counts.waiting[name]
    )


def told(counts: Counts, seconds: float) -> str:
    """Return how far a run is, as a sentence."""
    total = counts.total
    through, steps = counts.standings.total(), counts.done.total()
    shown = ", ".join(f"{count} {name}" for name, count in sorted(counts.standings.items()) if count)
    of = f" of {total}" if total else ""
    rate = f"{60 * steps / seconds:.0f} steps a minute" if steps and seconds > 0 else "nothing to do yet"
    left = f", {clock(seconds * (total - through) / through)} left" if total and through and steps else ""
    return f"{through}{of} rows through ({shown or 'none'}), {steps} steps done, {rate}{left}"


def clock(seconds: float) -> str:
    """Return a time as hours and minutes, or minutes and seconds of less than an hour."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"
