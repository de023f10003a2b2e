"""Steps in processes of their own, one for each device: each builds its steps by itself and has its own journal."""

from __future__ import annotations

import multiprocessing
import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from ....uso_model.errors import UserError
from ..steps import Task
from .place import Crew
from .worker import Done, Remote, value_of

__all__ = ["Processes"]

_TRIES = 3
"""Processes in a row that may die of one task before the run stops."""


class Processes:
    """The steps of one expert, on several devices."""

    def __init__(self, run: Path, settings: Mapping[str, Any], place: str, devices: Sequence[str]):
        """Take the folder of a run, its settings as JSON, an expert's name, and its devices."""
        self.workers = len(devices)
        self._free = [_Child(run, settings, place, device) for device in devices]
        self._all = list(self._free)
        self._crew = Crew(self.workers, place)

    async def do(self, task: Task, free: Callable[[], None]) -> Done:
        """Do it; see `Place`. No more than `workers` at once."""
        child = self._free.pop()
        try:
            done: Done = await self._crew.call(lambda: child.do(task))
        finally:
            self._free.append(child)
        return done

    def close(self) -> None:
        """End the processes: those that work at something finish it, write it and see that nobody listens."""
        for child in self._all:
            child.close()
        self._crew.close()


class _Child:
    """A process, started when it is needed and again when it dies."""

    def __init__(self, run: Path, settings: Mapping[str, Any], place: str, device: str):
        self._told = (run, dict(settings), place, device)
        self._where = f"the process of experts.{place} on {device}"
        self._process: SpawnProcess | None = None
        self._pipe: Connection | None = None
        self._over = False
        self._lock = threading.Lock()

    def do(self, task: Task) -> Done:
        for _ in range(_TRIES):
            with self._lock:
                if self._over:  # a process that ends because this one does is not started again
                    raise RuntimeError(f"{self._where} is not needed any more")
                pipe = self._pipe if self._pipe is not None else self._start()
            try:
                pipe.send(task)
                answer = pipe.recv()
            except (EOFError, OSError):  # it has died: what it has written counts, and the rest is done again
                code = self._end()
                continue
            return value_of(answer)
        raise UserError(
            f"{self._where} died {_TRIES} times in a row (exit code {code}): it was killed, or ran out of memory; "
            "look at the system's log, or take smaller pictures or fewer devices"
        )

    def _start(self) -> Connection:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, *self._told), daemon=True)
        self._process.start()
        theirs.close()
        return self._pipe

    def _end(self) -> int | None:
        """Forget the process, and return its exit code."""
        with self._lock:
            process, pipe, self._process, self._pipe = self._process, self._pipe, None, None
        if pipe is not None:
            pipe.close()
        if process is None:
            return None
        process.join(timeout=10)
        return process.exitcode

    def close(self) -> None:
        with self._lock:
            self._over = True
            if self._pipe is not None:
                self._pipe.close()
            self._pipe = None
        # A driver that is left alone by its children may go: they end by themselves.


def _leave(number: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)


def _serve(pipe: Connection, run: Path, settings: Mapping[str, Any], place: str, device: str) -> None:
    """Do tasks until the driver is gone."""
    with suppress(ValueError):
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; the driver says when to end
        signal.signal(signal.SIGTERM, _leave)  # by the driver's end; a program of a command expert must not stay
    remote = Remote(run, settings, place, device)
    with suppress(EOFError, OSError):
        while True:
            pipe.send(remote.answer(pipe.recv()))
