"""Modulation layers in RAM: a quarter of FLUX's weights that the GPU need not hold.

They read only `vec` (time, guidance, pooled text), which nothing trains, so that their outputs are constants of a step:
computed on the CPU without a gradient, once, and sent to the GPU, 2 MB in all. The GPU waits once, until `vec` has
reached the CPU; from then on it computes a block while the CPU prepares the modulation of the next.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

import torch
from torch import Tensor

from ...uso_model.blocks import Modulation, ModulationLayer
from ...uso_model.transformer import UsoTransformer

__all__ = ["offload_modulation"]

Forward = Callable[[Tensor], tuple[Modulation, ...]]


def offload_modulation(transformer: UsoTransformer) -> None:
    """Move the modulation layers of all blocks to the CPU and compute them there."""
    layers = [module for module in transformer.modules() if isinstance(module, ModulationLayer)]
    shared = _InRam([layer.to("cpu").lin.weight for layer in layers], [layer.forward for layer in layers])
    for number, layer in enumerate(layers):
        layer.forward = partial(shared.of, number)  # type: ignore[method-assign]


class _InRam:
    """All layers' outputs for the last `vec`, which recomputed blocks ask for a second time."""

    def __init__(self, weights: Sequence[Tensor], forwards: Sequence[Forward]):
        self._weights, self._forwards = weights, forwards
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="modulation")
        self._vec: Tensor | None = None
        self._made: list[Future[tuple[Modulation, ...]]] = []
        self._sent: dict[int, tuple[Modulation, ...]] = {}

    def of(self, number: int, vec: Tensor) -> tuple[Modulation, ...]:
        """Return what layer `number` makes of `vec` (`B D`), on the device and in the dtype of `vec`."""
        if self._vec is not vec:
            for unwanted in self._made:
                unwanted.cancel()
            in_ram = vec.detach().to("cpu", self._weights[0].dtype)
            self._made = [self._worker.submit(_computed, forward, in_ram) for forward in self._forwards]
            self._vec, self._sent = vec, {}
        if number not in self._sent:
            made = self._made[number].result()
            self._sent[number] = tuple(Modulation(*(_sent(part, vec) for part in parts)) for parts in made)
        return self._sent[number]


@torch.no_grad()
def _computed(forward: Forward, vec: Tensor) -> tuple[Modulation, ...]:
    return forward(vec)


def _sent(part: Tensor, like: Tensor) -> Tensor:
    """Return a part where `like` is. From page-locked memory: a copy from other memory waits for the GPU's queue."""
    part = part.to(like.dtype)
    return part.pin_memory().to(like.device, non_blocking=True) if like.is_cuda else part.to(like.device)
