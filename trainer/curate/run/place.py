"""Where steps are done: on threads of this process, or wherever an engine has them done."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

from ...engine.leftover import ENDING
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
        self._count, self._name, self._busy = count, name, 0
        self._threads: list[threading.Thread] = []
        self._unfinished: set[Callable[[], Any]] = set()

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

        self._busy += 1
        if self._busy > len(self._threads) and len(self._threads) < self._count:
            name = f"{self._name}-{len(self._threads) + 1}"
            self._threads.append(threading.Thread(target=self._work, name=name, daemon=True))
            self._threads[-1].start()
        self._unfinished.add(function)
        self._calls.put((function, lambda value, error: _tell(loop, answer, value, error)))
        try:
            return await future
        finally:
            self._busy -= 1

    def close(self) -> None:
        """Wait for the threads to end; where a call goes on, they are left alone, and end with the process.

        A thread that ends frees what it has called, such as a network: see `Ending`.
        """
        with suppress(queue.Empty):
            while (call := self._calls.get_nowait()) is not None:  # nobody waits for it any more
                self._unfinished.discard(call[0])
        busy, threads, self._threads = bool(self._unfinished), self._threads, []
        for _ in threads:
            self._calls.put(None)
        for thread in threads:
            if busy:
                ENDING.beside(thread)
            else:
                thread.join()

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            self._do(*call)
            del call  # what it holds is not needed while the thread waits

    def _do(self, function: Callable[[], Any], answered: Callable[[Any, BaseException | None], None]) -> None:
        value: Any = None
        error: BaseException | None = None
        try:
            value = function()
        except StopIteration as problem:  # no future takes it
            error = RuntimeError(f"a step raised {problem!r}")
        except BaseException as problem:  # handed to whoever waits
            error = problem
        self._unfinished.discard(function)
        answered(value, error)


def _tell(loop: asyncio.AbstractEventLoop, function: Callable[..., None], *args: Any) -> None:
    """Have a function called in an event loop, from a thread; once the loop is closed nobody listens."""
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(function, *args)


class Threads:
    """Steps on threads of this process."""

    def __init__(self, worker: Worker, workers: int, name: str):
        """Take a worker, who may be shared, and the number of threads."""
        # While one picture is packed and written the next one is drawn.
        self.workers, self._worker, self._crew = workers, worker, Crew(2 * workers, name or "steps")

    async def do(self, task: Task, free: Callable[[], None]) -> Done:
        """Do it; see `Place`."""
        loop = asyncio.get_running_loop()
        done: Done = await self._crew.call(lambda: self._worker.do(task, lambda: _tell(loop, free)))
        return done

    def close(self) -> None:
        """End it; see `Place`."""
        self._crew.close()
