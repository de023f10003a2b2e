"""The trainer as a process of its own: its events are read on threads, and the end of its input stops it."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import queue
import re
import subprocess
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from ...uso_model.untrusted import named

__all__ = ["Event", "Process"]

logger = logging.getLogger(__name__)

Event = dict[str, Any]
"""An object of the trainer's line protocol; see docs/training.md."""

_LAST = 40
"""Lines of the log that are kept for messages."""
_PIECE = 1 << 16
_LONGEST_EVENT, _LONGEST_LINE = 1 << 22, 2000
"""Bytes of a line of output, and characters of a line of the log; of longer ones the rest is left out."""
_WAITING = 4096
"""Events that wait at most; of more the oldest are left out."""
_MOST_LOG = 1 << 26
"""Characters that one process adds to its log at most."""
_GRACE = 300.0
"""Seconds that it has to write a checkpoint and end, once nobody waits for its events any more."""
_LINGER = 2.0


class Process:
    """A running trainer. Leaving the context stops it and waits until it has ended."""

    def __init__(self, command: Sequence[str], folder: Path, log: Path, env: Mapping[str, str] | None = None):
        """Start the command.

        Args:
            command: words, the program first.
            folder: in which it runs.
            log: file to which all that it says is added.
            env: environment variables that differ from ours.

        Raises:
            OSError: it cannot be started.
        """
        log.parent.mkdir(parents=True, exist_ok=True)
        self.log = log
        self._events: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        self._last: deque[str] = deque(maxlen=_LAST)
        self._room = _MOST_LOG
        self._file = log.open("a", encoding="utf-8", errors="backslashreplace")
        try:
            # In a group of its own, Ctrl-C at ComfyUI reaches ComfyUI alone, whose end then stops it.
            self._process = subprocess.Popen(
                list(command),
                cwd=folder,
                env={**os.environ, **(env or {})},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            )
        except BaseException:
            self._file.close()
            raise
        assert self._process.stdin and self._process.stdout and self._process.stderr
        self._input = self._process.stdin
        self._readers = [
            threading.Thread(target=self._read_events, args=(self._process.stdout,), daemon=True),
            threading.Thread(target=self._read_log, args=(self._process.stderr,), daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *error: object) -> None:
        with contextlib.suppress(OSError):  # it has ended
            self._input.close()
        try:
            self._process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            self.kill()
            self._process.wait()
        for reader in self._readers:
            reader.join(_LINGER)
        with contextlib.suppress(OSError):
            self._file.close()

    def event(self, seconds: float) -> Event | None:
        """Return the next event, or None when there is none for so long."""
        try:
            return self._events.get(timeout=seconds)
        except queue.Empty:
            return None

    def ended(self) -> bool:
        """Whether it has ended and every event was taken."""
        if self._process.poll() is None:
            return False
        for reader in self._readers:
            reader.join(_LINGER)  # a process that it has started may hold its output open for longer
        return self._events.empty()

    def code(self) -> int:
        """Return the exit code of a process that has ended; a negative one is the signal that ended it."""
        return self._process.wait()

    def stop(self) -> None:
        """Ask for a checkpoint and the end."""
        self._say("stop")

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()

    def last_lines(self, most: int) -> list[str]:
        """Return the last lines of its log."""
        return list(self._last)[-most:]

    def _say(self, word: str) -> None:
        try:
            self._input.write(f"{word}\n".encode())
            self._input.flush()
        except OSError:  # it has ended
            logger.info("the trainer has ended before it heard %s", word)

    def _read_events(self, pipe: IO[bytes]) -> None:
        while line := pipe.readline(_LONGEST_EVENT):
            try:
                event = json.loads(line)
            except (ValueError, RecursionError):
                event = None
            if isinstance(event, dict) and isinstance(event.get("event"), str):
                if self._events.qsize() >= _WAITING:
                    self.event(0)
                self._events.put(event)
            else:  # what a library prints
                self._keep(line.decode(errors="replace"))

    def _read_log(self, pipe: IO[bytes]) -> None:
        rest = ""
        while piece := os.read(pipe.fileno(), _PIECE):
            *lines, rest = re.split(r"[\r\n]+", rest + piece.decode(errors="replace"))
            for line in lines:
                self._keep(line)
            rest = rest[:_LONGEST_LINE]
        self._keep(rest)

    def _keep(self, line: str) -> None:
        line = line[:_LONGEST_LINE].rstrip()
        if not line:
            return
        self._last.append(line)
        before, self._room = self._room, self._room - len(line) - 1
        if self._room < 0:
            if before < 0:
                return
            line = "The log is too long: what follows is left out"
        try:
            self._file.write(line + "\n")
            self._file.flush()
        except (OSError, ValueError) as error:  # the disk is full: what the trainer says is a by-product
            logger.warning("%s cannot be written to: %s", named(self.log), error)
