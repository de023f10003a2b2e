"""Something large that is read when it is needed and given back afterwards."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

import torch

from ..engine.telling import telling

__all__ = ["Lazy"]

Thing = TypeVar("Thing")


class Lazy(Generic[Thing]):
    """A model behind its loader, which several threads may ask for at the same time."""

    def __init__(self, load: Callable[[], Thing], what: str):
        self._load, self._what = load, what
        self._lock = threading.RLock()
        self._thing: Thing | None = None

    def get(self) -> Thing:
        """Return the model, reading it if it is not in memory."""
        with self._lock:
            if self._thing is None:
                with telling(f"reading {self._what}"):
                    self._thing = self._load()
            return self._thing

    def release(self) -> None:
        """Give back the memory, if it is held."""
        with self._lock:
            if self._thing is None:
                return
            self._thing = None
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
