"""Scaling of the loss in float16, whose smallest numbers are larger than many gradients."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

__all__ = ["LossScaler"]

_LEAST = 1.0
"""Scale below which a gradient that is not finite is no matter of scaling."""


class LossScaler:
    """Torch's dynamic scale of the loss; where it is off it changes nothing."""

    def __init__(self, device: torch.device, on: bool):
        self._scaler = torch.amp.GradScaler(device.type, enabled=on)

    @property
    def scale(self) -> float:
        """What the loss, and with it each gradient, is multiplied by; 1 where it is off."""
        return self._scaler.get_scale()

    def scaled(self, loss: Tensor) -> Tensor:
        """Return the loss to be back-propagated."""
        return self._scaler.scale(loss)

    def unscale(self, optimizer: torch.optim.Optimizer) -> None:
        """Divide the gradients by the scale."""
        self._scaler.unscale_(optimizer)

    def may_skip(self) -> bool:
        """Whether a step whose gradient is not finite is left out, and the next made with a lower scale."""
        return self._scaler.is_enabled() and self.scale > _LEAST

    def step(self, optimizer: torch.optim.Optimizer) -> None:
        """Take the step, unless its gradient is not finite, and adapt the scale."""
        self._scaler.step(optimizer)
        self._scaler.update()

    def numbers(self) -> dict[str, float]:
        """Return the scale for the log; nothing where it is off."""
        return {"loss_scale": self.scale} if self._scaler.is_enabled() else {}

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint keeps; nothing where it is off."""
        return self._scaler.state_dict()

    def load(self, state: Mapping[str, Any]) -> None:
        """Continue from a saved state; from the beginning where there is none."""
        if self._scaler.is_enabled() and state:
            self._scaler.load_state_dict(dict(state))
