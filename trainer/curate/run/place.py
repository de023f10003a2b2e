"""Where steps are done: on threads of this process, or wherever an engine has them done."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from typing import Any, Protocol

from ..steps import Task
from .worker import Done, Worker

__all__ = ["Crew", "Place", "Threads"]


class Place(Protocol):
    """Does the steps of one expert."""

    workers: int
    """Steps at once."""

    async def do(self, task: Task, free: Callable[[], None]) -> Done:
        """Have a step done.

        Args:
            task: which one.
            free: may be called before the end, in the event loop, when another one can begin.

        Raises:
            UserError: nothing can go on until a person mends something.
            OSError: the disk takes no more.
        """
        ...

    def close(self) -> None:
        """End it; what is in flight is dropped."""
        ...


class Crew:
    """Threads that end with the process, whatever they are at: a call to an expert may take minutes."""

    def __init__(self, count: int, name: str):
        """Start up to `count` threads, each when it is needed."""
        self._calls: queue.SimpleQueue[tuple[Callable[[], Any], Callable[[Any, BaseException | None], None]] | None]
        self._calls = queue.SimpleQueue()
        self._count, self._name, self._started, self._busy = count, name, 0, 0

    async def call(self, function: Callable[[], Any]) -> Any:
        """Return what a blocking function returns."""
        loop = asyncio.get_running_loop()
        future = loop.create_future()

        def answer(value: Any, error: BaseException | None) -> None:
            if future.cancelled():
                return
            if error is None:
                future.set_result(value)
            else:
                future.set_exception(error)

        def answered(value: Any, error: BaseException | None) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(answer, value, error)

        self._busy += 1
        if self._busy > self._started and self._started < self._count:
            self._started += 1
            threading.Thread(target=self._work, name=f"{self._name}-{self._started}", daemon=True).start()
        self._calls.put((function, answered))
        try:
            return await future
        finally:
            self._busy -= 1

    def close(self) -> None:
        """Let the threads end after what they are at."""
        for _ in range(self._started):
            self._calls.put(None)

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            function, answered = call
            error: BaseException | None = None
            try:
                value = function()
            except StopIteration as problem:  # no future takes it
                value, error = None, RuntimeError(f"a step raised {problem!r}")
            except BaseException as problem:  # handed to whoever waits
                value, error = None, problem
            answered(value, error)


class Threads:
    """Steps on threads of this process."""

    def __init__(self, worker: Worker, workers: int, name: str):
        """Take a worker, who may be shared, and the number of threads."""
        # While one picture is packed and written the next one is drawn.
        self.workers, self._worker, self._crew = workers, worker, Crew(2 * workers, name or "steps")

    async def do(self, task: Task, free: Callable[[], None]) -> Done:
        """Do it; see `Place`."""
        loop = asyncio.get_running_loop()
        done: Done = await self._crew.call(lambda: self._worker.do(task, lambda: loop.call_soon_threadsafe(free)))
        return done

    def close(self) -> None:
        """End it; see `Place`."""
        self._crew.close()
