"""Rows one after the other that a model gave nothing for: too many, and the model is the matter."""

from __future__ import annotations

import threading

from ....uso_model.errors import UserError

__all__ = ["Streak"]

MOST_MISSED = 200


class Streak:
    """Counts; shared by all workers."""

    def __init__(self, name: str):
        """Take the name of the model."""
        self._name, self._missed, self._lock = name, 0, threading.Lock()

    def end(self) -> None:
        """Count a row that got what was asked for."""
        with self._lock:
            self._missed = 0

    def add(self, reason: str) -> None:
        """Count a row that got nothing.

        Raises:
            UserError: it is one too many.
        """
        with self._lock:
            self._missed += 1
            if self._missed >= MOST_MISSED:
                raise UserError(
                    f"{self._name} gave nothing that can be used for {self._missed} rows one after the other "
                    f"({reason}); look at its log or name another model, then run the same command: it asks again"
                )
