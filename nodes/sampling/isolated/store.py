"""What was computed of isolated references, kept with the network for later samplings."""

from __future__ import annotations

from collections.abc import Hashable
from weakref import WeakKeyDictionary

import torch
from torch import nn

from .reading import Blocks

__all__ = ["Store", "store_of"]

_FEWEST, _MOST = 2, 8
"""Sets of references that stay between samplings: as many as the last one read, within these bounds."""


class Store:
    """Sets of references by what they were computed from, the last used last."""

    def __init__(self) -> None:
        self._sets: dict[Hashable, Blocks] = {}
        self._resting: dict[Hashable, Blocks] = {}

    def get(self, key: Hashable, device: torch.device) -> Blocks | None:
        """Return a set on a device, None where it is not there."""
        found = self._sets.pop(key, None) or self._resting.get(key)
        if found is None:
            return None
        return self.put(key, moved(found, device))

    def put(self, key: Hashable, blocks: Blocks) -> Blocks:
        """Keep a set, and return it."""
        self._sets[key] = blocks
        return blocks

    @property
    def size(self) -> int:
        """Bytes in RAM between samplings."""
        return sum(part.nbytes for blocks in self._resting.values() for pair in blocks.values() for part in pair)

    def rest(self) -> None:
        """Bring the last sets to RAM, and forget the others: what a sampling does not need must not hold the card."""
        count = min(max(_FEWEST, len(self._sets)), _MOST)
        last = [*[key for key in self._resting if key not in self._sets], *self._sets][-count:]
        self._resting = {
            key: self._resting[key] if key in self._resting else moved(self._sets[key], torch.device("cpu"))
            for key in last
        }
        self._sets = {}


def moved(blocks: Blocks, device: torch.device) -> Blocks:
    """Return a set on a device."""
    return {block: (keys.to(device), values.to(device)) for block, (keys, values) in blocks.items()}


_STORES: WeakKeyDictionary[nn.Module, Store] = WeakKeyDictionary()


def store_of(network: nn.Module) -> Store:
    """Return what is kept with a network; it goes when the network goes."""
    return _STORES.setdefault(network, Store())
