"""The process's end beside threads that are still at work: at once, with nothing taken down around them.

CPython up to 3.13 ends a daemon thread with pthread_exit as soon as it asks for the interpreter that is being taken
down (Python/ceval_gil.h, `take_gil`). Where that thread comes back from PyTorch, C++ does not let it pass: the process
says "terminate called without an active exception" and dies of SIGABRT, whatever its exit code was to be.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
from collections.abc import Callable
from contextlib import suppress

__all__ = ["ENDING", "Ending"]


class Ending:
    """How the process ends."""

    def __init__(self) -> None:
        self._threads: list[threading.Thread] = []
        self._first: list[Callable[[], object]] = []
        self._code = 1

    def first(self, function: Callable[[], object]) -> None:
        """Have something called when the process ends: such an end leaves out what others have told `atexit`."""
        self._first.append(function)

    def beside(self, thread: threading.Thread) -> None:
        """Leave a daemon thread at its work; if it is still there when the process ends, the process ends at once."""
        self._threads.append(thread)

    def with_code(self, code: int) -> int:
        """Return an exit code, and remember it for such an end."""
        self._code = code
        return code

    def end(self) -> None:
        """Call what is to be called, and end the process where a thread is still at work."""
        for function in self._first:
            with suppress(OSError):
                function()
        if not any(thread.is_alive() for thread in self._threads):
            return
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError, AttributeError):  # nobody reads on, closed, or none at all
                stream.flush()
        os._exit(self._code)


ENDING = Ending()
"""Of this process."""
atexit.register(ENDING.end)
