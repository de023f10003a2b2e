"""Arrays by key on disk, written in shards that prove themselves: what is damaged counts as absent."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from ...uso_model.writing import atomic_write

__all__ = ["Store"]

log = logging.getLogger(__name__)

_AT_ONCE, _SECONDS = 512, 30
"""Arrays that are written together, and how long they wait for others: a killed run shall lose little."""
_ENDING = ".safetensors"


class Store:
    """Arrays of one kind. A shard's name is the hash of its bytes, so several processes can write into one folder."""

    def __init__(self, folder: Path):
        self.folder = folder
        self._new: dict[str, np.ndarray] = {}
        self._written = time.monotonic()

    def read(self, keys: Iterable[str]) -> dict[str, np.ndarray]:
        """Return what is there of these keys."""
        wanted = set(keys)
        found = {key: self._new[key] for key in wanted & self._new.keys()}
        for path in sorted(self.folder.glob(f"*{_ENDING}")):
            if len(found) == len(wanted):
                break
            arrays = _read(path)
            found |= {key: arrays[key] for key in wanted & arrays.keys()}
        return found

    def add(self, key: str, value: np.ndarray) -> None:
        """Keep an array; see `flush`.

        Raises:
            OSError: it cannot be written.
        """
        self._new[key] = np.ascontiguousarray(value)
        if len(self._new) >= _AT_ONCE or time.monotonic() - self._written > _SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write what was added.

        Raises:
            OSError: it cannot be written.
        """
        if self._new:
            data = save(self._new)
            # What is lost is made again, so nothing waits for the disk.
            path = self.folder / f"{_name(data)}{_ENDING}"
            atomic_write(path, lambda temporary: Path(temporary).write_bytes(data), durable=False)
            self._new = {}
        self._written = time.monotonic()


def _name(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:40]


def _read(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of a shard; none where it is damaged, and then it is removed."""
    try:
        data = path.read_bytes()
        if _name(data) == path.stem:
            return load(data)
    except SafetensorError:
        pass  # another program's file under the name of its own hash
    except FileNotFoundError:  # another process was quicker
        return {}
    log.warning("%s is damaged and is made again", path)
    path.unlink(missing_ok=True)
    return {}
