"""Averages of the trained parameters: the exponential moving one, and that of a schedule-free optimizer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from ...uso_model.errors import UserError
from ..settings.loop import LoopConfig

__all__ = ["EMA", "Averages", "ScheduleFree", "averages"]


class Averages(Protocol):
    """Averaged weights beside the live ones."""

    @property
    def weights(self) -> Mapping[str, Tensor]:
        """The averages by the names of the parameters."""
        ...

    def update(self) -> None:
        """Take in the weights after a step."""
        ...

    def load(self, weights: Mapping[str, Tensor]) -> None:
        """Continue from saved averages."""
        ...

    def applied(self) -> AbstractContextManager[None]:
        """Put the averages into the network for a while; the live weights come back bit by bit."""
        ...


def averages(
    config: LoopConfig, trained: Mapping[str, nn.Parameter], optimizer: torch.optim.Optimizer
) -> Averages | None:
    """Return the averages that a run keeps, None where it keeps none.

    Raises:
        UserError: an average is asked for beside an optimizer that makes one itself.
    """
    own = hasattr(optimizer, "train") and hasattr(optimizer, "eval")
    if own and config.ema is not None:
        raise UserError(f"{type(optimizer).__name__} averages the weights itself: set loop.ema to none")
    if own:
        return ScheduleFree(trained, optimizer)
    return EMA(trained, config.ema) if config.ema is not None else None


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
        with _kept(self._trained):
            _fill(self._trained, self.weights)
            yield


class ScheduleFree:
    """The averages that a schedule-free optimizer makes itself and shows in its mode `eval` (Defazio et al. 2024)."""

    def __init__(self, trained: Mapping[str, nn.Parameter], optimizer: Any):
        self._trained, self._optimizer = trained, optimizer

    @property
    def weights(self) -> dict[str, Tensor]:
        """A copy of the averages, in float32."""
        with self.applied():
            return {name: p.detach().float().clone() for name, p in self._trained.items()}

    def update(self) -> None:
        """Do nothing: the optimizer has done it in its step."""

    def load(self, weights: Mapping[str, Tensor]) -> None:
        """Do nothing: the optimizer's state holds them."""

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Put the averages into the network for a while; the live weights come back bit by bit."""
        with _kept(self._trained):
            self._optimizer.eval()
            try:
                yield
            finally:
                self._optimizer.train()


@contextmanager
def _kept(trained: Mapping[str, nn.Parameter]) -> Iterator[None]:
    live = {name: p.detach().clone() for name, p in trained.items()}
    try:
        yield
    finally:
        _fill(trained, live)


@torch.no_grad()
def _fill(trained: Mapping[str, nn.Parameter], weights: Mapping[str, Tensor]) -> None:
    for name, parameter in trained.items():
        parameter.copy_(weights[name])
