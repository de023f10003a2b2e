"""Ways to ask a run to save or to stop: Ctrl-C, SIGTERM, and files named SAVE and STOP in its folder."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

__all__ = ["StopSignals"]


class StopSignals:
    """Watch for requests while a run goes on.

    The first signal lets the step finish; a second one interrupts at once, without touching any file. The files serve
    where signals do not reach: over a network share, or on Windows.
    """

    def __init__(self, run_dir: Path):
        self._stop_file, self._save_file = run_dir / "STOP", run_dir / "SAVE"
        self._signalled = False
        self._former: dict[int, Any] = {}

    def __enter__(self) -> StopSignals:
        if threading.current_thread() is threading.main_thread():  # elsewhere Python allows no handlers
            self._former = {
                number: signal.signal(number, self._on_signal) for number in (signal.SIGINT, signal.SIGTERM)
            }
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._signalled:
            raise KeyboardInterrupt
        self._signalled = True

    def stop(self) -> bool:
        """Say whether the run is to end after this step."""
        return self._signalled or self._stop_file.exists()

    def save(self) -> bool:
        """Say whether a checkpoint is asked for."""
        return self._save_file.exists()

    def answered(self) -> None:
        """Remove the request files; what they asked for is done."""
        for path in (self._stop_file, self._save_file):
            path.unlink(missing_ok=True)
