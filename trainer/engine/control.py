"""What the program that started this one asks for: lines on standard input, and the end of it.

The end comes however that program ended, on every system: the pipe is closed when nobody holds its other side.
"""

from __future__ import annotations

import _thread
import logging
import os
import threading

from ...uso_model.untrusted import quoted

__all__ = ["CONTROL", "Control"]

logger = logging.getLogger(__name__)

LONGEST = 4096
"""Bytes of a line; what is longer is none of ours."""


class Control:
    """Requests to save and to stop. Nobody asks for anything until `listen` is called."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stop = self._save = self._interrupts = False

    def stop(self) -> bool:
        """Whether the run is to end."""
        return self._stop

    def save(self) -> bool:
        """Whether a checkpoint is asked for."""
        return self._save

    def saved(self) -> None:
        """Take note that the checkpoint is there."""
        self._save = False

    def interrupts(self, wanted: bool) -> bool:
        """Choose whether a request to stop interrupts the main thread, as Ctrl-C does; say whether it was made."""
        with self._lock:
            self._interrupts = wanted
            return self._stop

    def ask_to_stop(self) -> None:
        """Ask for a checkpoint and the end. Asking again changes nothing."""
        with self._lock:
            if not self._stop:
                self._stop = True
                if self._interrupts:
                    _thread.interrupt_main()

    def listen(self, descriptor: int) -> None:
        """Read requests on a thread, `stop` or `save` in a line each, until the file ends, which is a stop too."""
        threading.Thread(target=self._listen, args=(descriptor,), daemon=True).start()

    def _listen(self, descriptor: int) -> None:
        # Not through sys.stdin: a thread that waits there holds a lock at the end of the interpreter.
        rest = b""
        while part := _read(descriptor):
            *lines, rest = (rest + part).split(b"\n")
            rest = rest[-LONGEST:]
            for line in lines:
                self._obey(line.decode("utf-8", "replace").strip())
        if not self._stop:
            logger.info("standard input has ended, and with it the program that started this one: stopping")
            self.ask_to_stop()

    def _obey(self, word: str) -> None:
        if word == "stop":
            logger.info("asked to stop")
            self.ask_to_stop()
        elif word == "save":
            logger.info("asked for a checkpoint")
            self._save = True
        elif word:
            logger.warning("got %r on standard input, expected stop or save; it is ignored", quoted(word))


CONTROL = Control()
"""That of this process."""


def _read(descriptor: int) -> bytes:
    """Return what is there; nothing at the end."""
    try:
        return os.read(descriptor, 4096)
    except OSError:  # Windows says so of a pipe whose other side is closed
        return b""
