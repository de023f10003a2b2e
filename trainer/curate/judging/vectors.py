"""Vectors of one judge's pictures in the folder of a run: `RUN/features/<digest of the judge>/`."""

from __future__ import annotations

import logging
import threading
import weakref
from collections import OrderedDict
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from ...evaluate.store import Store

__all__ = ["FOLDER", "Vectors", "kept_vectors"]

log = logging.getLogger(__name__)

FOLDER = "features"
_IN_MEMORY = 4096


class Vectors:
    """Keeps the latest vectors in memory, for rows of one target, and all on the disk, for finding near duplicates.

    What a killed process has not written yet is made again by whoever needs it.
    """

    def __init__(self, run: Path, digest: str):
        """Take a judge's digest; see `features.digest_of`."""
        self._latest: OrderedDict[str, np.ndarray] = OrderedDict()
        self._lock = threading.Lock()
        self._store = Store(run / FOLDER / digest)
        weakref.finalize(self, _flush, self._store)

    def get(self, key: str) -> np.ndarray | None:
        """Return the vector of a picture, of which `key` is the SHA-256; None where it is not in memory."""
        with self._lock:
            return self._latest.get(key)

    def add(self, key: str, vector: np.ndarray) -> None:
        """Keep a vector; one with numbers that are none is not kept on the disk.

        Raises:
            OSError: it cannot be written.
        """
        with self._lock:
            self._latest[key] = vector
            if len(self._latest) > _IN_MEMORY:
                self._latest.popitem(last=False)
            if np.isfinite(vector).all():
                self._store.add(key, vector)


def _flush(store: Store) -> None:
    """Write what is left; nobody who could be told of a failure is there any more, and what is lost is made again."""
    try:
        store.flush()
    except OSError as error:
        log.warning("%s; the vectors of the last pictures are made again when they are needed", error)


def kept_vectors(run: Path, digest: str, keys: Iterable[str]) -> dict[str, np.ndarray]:
    """Return the vectors that are on the disk of these pictures."""
    return Store(run / FOLDER / digest).read(keys)
