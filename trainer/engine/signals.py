"""Ways to ask a run to save or to stop: Ctrl-C and other signals, and files named SAVE and STOP in its folder."""

from __future__ import annotations

import logging
import signal
import socket
import threading
from contextlib import suppress
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, TypeVar

from .control import CONTROL

__all__ = ["Interruptible", "Leaving", "StopSignals"]

logger = logging.getLogger(__name__)

NAMES = ("SIGINT", "SIGTERM", "SIGBREAK", "SIGHUP")
"""Ctrl-C; asked by a system; Ctrl-Break and a closed window on Windows; a closed terminal elsewhere."""
_WOKEN = b"\0"
"""What the handler writes: the number of no signal."""

Kind = TypeVar("Kind", bound="_Answered")


class _Answered:
    """Answer signals the moment they come, and raise KeyboardInterrupt after `patience` of them.

    Python runs its handlers between two lines of Python, and most of a step is one call into C. So the bytes that the
    C handler writes to the wake-up descriptor are read on a thread, which answers at once. An event loop of Windows
    puts a descriptor of its own in the place of that one; then the handler wakes the thread.
    """

    def __init__(self, patience: int, *answers: str):
        self._patience, self._answers = patience, answers
        self._handled, self._heard = 0, 0
        self._former: dict[int, Any] = {}

    def __enter__(self: Kind) -> Kind:
        if threading.current_thread() is not threading.main_thread():
            return self  # elsewhere Python allows no handlers
        self._ear, self._mouth = socket.socketpair()
        self._mouth.setblocking(False)
        self._former_wakeup = signal.set_wakeup_fd(self._mouth.fileno(), warn_on_full_buffer=False)
        self._former = {number: signal.signal(number, self._on_signal) for number in _numbers()}
        self._listener = threading.Thread(target=self._listen, args=(tuple(self._former),), daemon=True)
        self._listener.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._former:
            return
        for number, handler in self._former.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._former_wakeup)
        self._mouth.close()
        self._listener.join()
        self._ear.close()
        self._former = {}

    def _listen(self, watched: tuple[int, ...]) -> None:
        told = 0
        while numbers := self._ear.recv(16):
            self._heard += sum(number in watched for number in numbers)
            asked = max(self._handled, self._heard)
            for answer in self._answers[told:asked]:
                logger.warning(answer)
            told = max(told, asked)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        # Two signals that come during one call into C are handled once, but heard twice.
        self._handled += 1
        with suppress(OSError):  # full, then the thread is about to look; or closed
            self._mouth.send(_WOKEN)
        if max(self._handled, self._heard) > self._patience:
            raise KeyboardInterrupt

    def asked(self) -> bool:
        """Whether a signal was heard."""
        return bool(self._handled or self._heard)


class Interruptible(_Answered):
    """Say at once that a signal was heard, and stop there: for phases that lose nothing by it.

    A request of the program that started this one stops them too, also one that was made before.
    """

    def __init__(self) -> None:
        super().__init__(0, "stopping; what is encoded stays: start again to go on")

    def __enter__(self) -> Interruptible:
        super().__enter__()
        if self._former and CONTROL.interrupts(True):
            self.__exit__(None, None, None)
            raise KeyboardInterrupt
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        CONTROL.interrupts(False)
        super().__exit__(kind, error, trace)


class Leaving(_Answered):
    """Say at once that a signal was heard, and let what is in flight end; a second one drops it."""

    def __init__(self) -> None:
        super().__init__(
            1, "stopping when the steps in flight have ended; press again to drop them", "stopping at once; start again"
        )


class StopSignals(_Answered):
    """Watch for requests while a run goes on.

    The first signal lets the step finish; a second one interrupts at once, without touching any file. The files serve
    where signals do not reach: over a network share, or on Windows. The program that started this one may ask, too.
    """

    def __init__(self, run_dir: Path):
        super().__init__(
            1, "stopping after this step; press again to drop it", "stopping at once; the last checkpoint stands"
        )
        self._stop_file, self._save_file = run_dir / "STOP", run_dir / "SAVE"

    def stop(self) -> bool:
        """Say whether the run is to end after this step."""
        return self.asked() or CONTROL.stop() or self._stop_file.exists()

    def save(self) -> bool:
        """Say whether a checkpoint is asked for."""
        return CONTROL.save() or self._save_file.exists()

    def answered(self) -> None:
        """Remove the request files; what they asked for is done."""
        CONTROL.saved()
        for path in (self._stop_file, self._save_file):
            path.unlink(missing_ok=True)


def _numbers() -> list[int]:
    """Return the signals that this system has. What `nohup` has switched off stays off."""
    found = [getattr(signal, name) for name in NAMES if hasattr(signal, name)]
    hangup = getattr(signal, "SIGHUP", None)
    return [number for number in found if number != hangup or signal.getsignal(number) is not signal.SIG_IGN]
