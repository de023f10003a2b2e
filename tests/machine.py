"""Bars of time, in seconds of the machine on which they were set: a slower one has as much longer."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

WORK = json.dumps([{"id": f"{number:064x}", "numbers": list(range(20))} for number in range(2000)])
SECONDS = 0.01
"""Which two cores of an AMD EPYC 7003 need for `WORK`; the bars of the tests were set there."""


def slowness() -> float:
    """Return how many times as long as there a piece of work takes here and now, 1 at least."""
    times = []
    for _ in range(3):
        began = time.perf_counter()
        json.dumps(sorted(json.loads(WORK), key=lambda row: row["id"][::-1]))
        times.append(time.perf_counter() - began)
    return max(1.0, min(times) / SECONDS)


@contextmanager
def at_most(seconds: float, clock: Callable[[], float] = time.process_time) -> Iterator[None]:
    """Fail where what is done in the block takes longer than so many seconds of the machine of the bars.

    The machine is measured before and after the block, because its pace changes with what else it does.

    Args:
        clock: `time.process_time`, or `time.perf_counter` for what is not done by this process.

    Raises:
        AssertionError: the block took longer.
    """
    before, began = slowness(), clock()
    yield
    took, slow = clock() - began, max(before, slowness())
    assert took <= seconds * slow, f"took {took:.2f} s; the bar is {seconds} s, on this machine {seconds * slow:.2f} s"
