"""The exponential moving average of the trained parameters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

__all__ = ["EMA"]


class EMA:
    """Averaged weights in float32, apart from the live ones: `a <- decay * a + (1 - decay) * w` after each step."""

    def __init__(self, trained: Mapping[str, nn.Parameter], decay: float):
        self._trained, self._decay = trained, decay
        self.weights = {name: p.detach().float().clone() for name, p in trained.items()}

    @torch.no_grad()
    def update(self) -> None:
        """Take in the weights after a step."""
        for name, parameter in self._trained.items():
            self.weights[name].lerp_(parameter.float(), 1 - self._decay)

    def load(self, weights: Mapping[str, Tensor]) -> None:
        """Continue from saved averages."""
        for name, weight in self.weights.items():
            weight.copy_(weights[name])

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Put the averages into the network for a while; the live weights come back bit by bit."""
        live = {name: p.detach().clone() for name, p in self._trained.items()}
        with torch.no_grad():
            for name, parameter in self._trained.items():
                parameter.copy_(self.weights[name])
        try:
            yield
        finally:
            with torch.no_grad():
                for name, parameter in self._trained.items():
                    parameter.copy_(live[name])
