"""Work on threads in the order of its items, a bounded number of them in advance: futures of millions fill memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

__all__ = ["DEPTH", "ahead"]

DEPTH = 32
"""Items that are in work or done in advance; enough that no thread waits for the one before."""
Item = TypeVar("Item")
Result = TypeVar("Result")


def ahead(
    pool: ThreadPoolExecutor, call: Callable[[Item], Result], items: Iterable[Item], depth: int = DEPTH
) -> Iterator[Result]:
    """Yield what `call` returns of each item in order, some of which are worked on in advance."""
    left = iter(items)
    waiting: deque[Future[Result]] = deque(pool.submit(call, item) for item in islice(left, depth))
    while waiting:
        found = waiting.popleft().result()
        waiting.extend(pool.submit(call, item) for item in islice(left, 1))
        yield found
