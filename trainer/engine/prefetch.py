"""Reading micro-batches on a thread while the one before is computed."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from typing import Any

from .randomness import StepRandom

__all__ = ["prefetched"]


@contextmanager
def prefetched(
    batch_of: Callable[[StepRandom], Any], plan: Iterator[StepRandom], depth: int
) -> Iterator[Iterator[tuple[StepRandom, Any]]]:
    """Yield an iterator over the micro-batches of a plan, of which `depth` are read in advance.

    What is read depends on the plan alone, so the depth changes nothing but the waiting.
    """
    if depth == 0:
        yield ((random, batch_of(random)) for random in plan)
        return
    pool = ThreadPoolExecutor(max_workers=1)
    try:
        yield _ahead(pool, batch_of, plan, depth)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _ahead(
    pool: ThreadPoolExecutor, batch_of: Callable[[StepRandom], Any], plan: Iterator[StepRandom], depth: int
) -> Iterator[tuple[StepRandom, Any]]:
    waiting: deque[tuple[StepRandom, Future]] = deque(
        (random, pool.submit(batch_of, random)) for random in islice(plan, depth)
    )
    while waiting:
        random, future = waiting.popleft()
        batch = future.result()
        waiting.extend((later, pool.submit(batch_of, later)) for later in islice(plan, 1))
        yield random, batch
