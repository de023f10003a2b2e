"""Modulation layers in RAM: a quarter of FLUX's weights that the card need not hold.

They read only `vec` (time, guidance, pooled text), which nothing trains, so that their outputs are constants of a step:
computed on the CPU without a gradient, once, and sent to the card, 50 kB a block.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ...uso_model.blocks import Modulation, ModulationLayer
from ...uso_model.transformer import UsoTransformer

__all__ = ["offload_modulation"]


def offload_modulation(transformer: UsoTransformer) -> None:
    """Move the modulation layers of all blocks to the CPU and compute them there."""
    for module in transformer.modules():
        if isinstance(module, ModulationLayer):
            module.to("cpu")
            module.forward = _InRam(module, module.forward)  # type: ignore[method-assign]


class _InRam:
    """The forward of one layer, which remembers its last output: a recomputed block asks a second time."""

    def __init__(self, layer: nn.Module, forward: Any):
        self._layer, self._forward = layer, forward
        self._last: tuple[Tensor, tuple[Modulation, ...]] | None = None

    @torch.no_grad()
    def __call__(self, vec: Tensor) -> tuple[Modulation, ...]:
        if self._last is None or self._last[0] is not vec:
            weight = next(self._layer.parameters())
            made = self._forward(vec.to(weight.device, weight.dtype))
            self._last = vec, tuple(Modulation(*(part.to(vec) for part in parts)) for parts in made)
        return self._last[1]
