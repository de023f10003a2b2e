"""Programs that run for this process: none of them outlives its time, or the process that has asked for it."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from ...engine.leftover import ENDING

__all__ = ["PROGRAMS", "Programs"]

_POSIX = os.name == "posix"
_SECONDS = 10.0
"""For which a program that was killed is waited for: one in the midst of a driver's call may never go."""


class Programs:
    """Programs that are at work, and their folders."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[bytes]] = set()
        self._folders = set[str]()
        self._over = False

    @contextlib.contextmanager
    def folder(self) -> Iterator[Path]:
        """Make a folder, and remove it afterwards."""
        path = tempfile.mkdtemp(prefix="uso-")
        with self._lock:
            self._folders.add(path)
        try:
            yield Path(path)
        finally:
            shutil.rmtree(path, ignore_errors=True)  # on Windows somebody may hold a file of it
            with self._lock:
                self._folders.discard(path)

    def run(self, words: Sequence[str], output: IO[bytes], timeout: float) -> int:
        """Run a program and return its exit code.

        Args:
            words: the program and what it is told.
            output: takes what it says.
            timeout: in seconds.

        Raises:
            OSError: it cannot be started.
            subprocess.TimeoutExpired: it took longer, and was ended with what it has started.
            SystemExit: this process ends, and the program with it.
        """
        with self._lock:  # a program that starts while the others are ended would be forgotten
            self._leave_where_over()
            process = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                # A group of its own: what it starts can be ended with it, and Ctrl-C reaches us alone.
                start_new_session=_POSIX,
                creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),  # that of Windows
            )
            self._running.add(process)
        try:
            return process.wait(timeout)
        finally:
            _kill(process)
            _wait(process)
            with self._lock:
                self._running.discard(process)
                self._leave_where_over()  # how it ended says nothing of the program

    def end(self) -> None:
        """End all that are at work, remove their folders, and let no other one begin."""
        with self._lock:
            self._over = True
            running, folders = list(self._running), list(self._folders)
        for process in running:
            _kill(process)
        for process in running:
            _wait(process)
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)

    def _leave_where_over(self) -> None:
        if self._over:
            raise SystemExit


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a program that still runs, and what it has started."""
    if process.poll() is not None:
        return
    with contextlib.suppress(ProcessLookupError, PermissionError):  # it ends just now
        if _POSIX:
            os.killpg(process.pid, signal.SIGKILL)
        else:
            _kill_tree(process)


def _kill_tree(process: subprocess.Popen[bytes]) -> None:
    """Kill a program and what descends from it, where no signal reaches a group."""
    import psutil

    descending: list[psutil.Process] = []
    with contextlib.suppress(psutil.Error):
        descending = psutil.Process(process.pid).children(recursive=True)
    process.kill()  # before them: it shall start no others
    for one in descending:
        with contextlib.suppress(psutil.Error):
            one.kill()
    psutil.wait_procs(descending, timeout=_SECONDS)  # until then they hold files of the folder


def _wait(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_SECONDS)


PROGRAMS = Programs()
"""Of this process."""
ENDING.first(PROGRAMS.end)
