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
        self._read: set[Hashable] = set()
        """Of this evaluation of the sampler."""

    def begin_evaluation(self) -> None:
        """Say that the sampler asks for the next prediction."""
        self._read.clear()

    def get(self, key: Hashable, device: torch.device, plan: int) -> Blocks | None:
        """Return a set, on a device if a plan of so many bytes leaves it room there; None where there is none."""
        found = self._sets.get(key)
        if found is None:
            resting = self._resting.get(key)
            if resting is None:
                return None
            found = moved(resting, self.room(_bytes(resting), device, plan))
        return self.put(key, found)

    def put(self, key: Hashable, blocks: Blocks) -> Blocks:
        """Keep a set that is read in this evaluation, and return it."""
        self._sets.pop(key, None)
        self._sets[key] = blocks
        self._read.add(key)
        return blocks

    def room(self, size: int, device: torch.device, plan: int) -> torch.device:
        """Return where a plan has room for so many bytes more: on a device, or in RAM.

        Sets that this evaluation has not read are dropped for it, such as those of a LoRA's strength that is over.
        """
        stale = [key for key in self._sets if key not in self._read]
        while stale and sum(map(_bytes, self._sets.values())) + size > plan:
            del self._sets[stale.pop(0)]
        taken = sum(_bytes(blocks) for blocks in self._sets.values() if _device(blocks) == device)
        return device if taken + size <= plan else torch.device("cpu")

    @property
    def size(self) -> int:
        """Bytes in RAM between samplings."""
        return sum(map(_bytes, self._resting.values()))

    def rest(self) -> None:
        """Bring the last sets to RAM, and forget the others: what a sampling does not need must not hold the card."""
        count = min(max(_FEWEST, len(self._sets)), _MOST)
        last = [*[key for key in self._resting if key not in self._sets], *self._sets][-count:]
        self._resting = {
            key: self._resting[key] if key in self._resting else moved(self._sets[key], torch.device("cpu"))
            for key in last
        }
        self._sets = {}
        self._read.clear()


def moved(blocks: Blocks, device: torch.device) -> Blocks:
    """Return a set on a device."""
    return {block: (keys.to(device), values.to(device)) for block, (keys, values) in blocks.items()}


def _bytes(blocks: Blocks) -> int:
    return sum(part.nbytes for pair in blocks.values() for part in pair)


def _device(blocks: Blocks) -> torch.device:
    keys, _ = next(iter(blocks.values()))
    return keys.device


_STORES: WeakKeyDictionary[nn.Module, Store] = WeakKeyDictionary()


def store_of(network: nn.Module) -> Store:
    """Return what is kept with a network; it goes when the network goes."""
    return _STORES.setdefault(network, Store())
