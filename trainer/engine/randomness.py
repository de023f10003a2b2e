"""Everything random of a run as a function of seed, step and row, so that no state has to be saved.

The batch, the noise and the dropout of a row do not depend on how many processes share the work, on how the batch is
cut into micro-batches, or on whether the run was interrupted.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

__all__ = ["StepRandom", "seeded"]


@dataclass(frozen=True)
class StepRandom:
    """The random sources of one micro-batch."""

    seed: int
    """Of the run."""
    step: int
    """Optimiser steps taken before this one."""
    first: int
    """Place of the first row in the batch of the whole step, over all processes."""
    rows: int
    """Rows in this micro-batch."""

    def shared(self, purpose: str) -> torch.Generator:
        """Return a CPU generator that is the same for every row and process of the step."""
        return _generator(self.seed, self.step, purpose)

    def row(self, index: int, purpose: str) -> torch.Generator:
        """Return the CPU generator of row `index` (0 <= index < rows) for one purpose.

        Purposes have streams of their own: one more draw for one of them never shifts another.
        """
        return _generator(self.seed, self.step, purpose, self.first + index)


def _generator(*name: object) -> torch.Generator:
    digest = hashlib.blake2b(repr(name).encode(), digest_size=7).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "big"))


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Let new layers draw their weights by a seed, and leave torch's global generator as it was.

    Layers know no other generator.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
