"""Dropout within LoRA branches that a resumed run, and a block computed again, draw alike.

The masks are functions of seed, step and layer. All rows of a step share them, so that neither micro-batches nor
processes change what a step computes. Where no gradient is asked for (samples, validation) nothing is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor, nn

from ..engine.randomness import StepRandom

__all__ = ["BranchDropout"]


class BranchDropout(nn.Module):
    """Leaves out inner values, or whole ranks, of branches between their `down` and their `up`.

    A module without values, so that the network can hold it. As `network_dropout` and `rank_dropout` of
    kohya-ss/sd-scripts, which draws them for each row.
    """

    def __init__(self, downs: Mapping[str, nn.Module], values: float, ranks: float):
        """Attach to branches.

        Args:
            downs: path of the layer to the branch's `down`.
            values: share of the inner values, each of a token and a rank, that are left out.
            ranks: share of the ranks that are left out.
        """
        super().__init__()
        self._values, self._ranks = values, ranks
        self._random: StepRandom | None = None
        for name, down in downs.items():
            down.register_forward_hook(partial(self._drop, name))

    def draw(self, random: StepRandom) -> None:
        """Take the masks of a step from now on."""
        self._random = random

    def _drop(self, name: str, down: nn.Module, inputs: tuple[Tensor, ...], inner: Tensor) -> Tensor:
        if self._random is None or not torch.is_grad_enabled():
            return inner
        # One row's tokens and ranks, or for layers of `vec`, which have no tokens, one row's ranks.
        for purpose, share, shape in (
            ("dropout", self._values, inner.shape[1:]),
            ("rank dropout", self._ranks, inner.shape[-1:]),
        ):
            if share:
                drawn = torch.rand(shape, generator=self._random.shared(f"{purpose} of {name}"))
                inner = inner * ((drawn >= share) / (1 - share)).to(inner)
        return inner
