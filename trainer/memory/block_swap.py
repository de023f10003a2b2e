"""Frozen blocks that wait in RAM and visit the GPU in turn, through two places that take turns.

While one block computes, the next is copied into the other place; in the backward pass, where blocks are computed
again, the order is reversed. Trained parameters and everything small stay on the GPU.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ...uso_model.blocks import ModulationLayer
from ...uso_model.errors import UserError
from ...uso_model.transformer import UsoTransformer
from .wrapping import wrap_forward

__all__ = ["swap_blocks", "swapped_names"]

logger = logging.getLogger(__name__)

ALIGNMENT = 64
"""Bytes; views of every dtype and fast copies begin at multiples of this."""

SMALL = 1 << 16
"""Bytes up to which a tensor is not worth a copy: biases, norms, scales."""


def swapped_names(depth: int, depth_single_blocks: int, count: int) -> list[str]:
    """Return the names of `count` blocks, evenly spread over all, so that copies and products alternate.

    Raises:
        UserError: more blocks than there are.
    """
    names = [f"double_blocks.{n}" for n in range(depth)] + [f"single_blocks.{n}" for n in range(depth_single_blocks)]
    if count > len(names):
        raise UserError(f"got memory.blocks_to_swap {count}, expected at most {len(names)}, the blocks of this FLUX")
    return [names[i * len(names) // count] for i in range(count)]


def swap_blocks(
    transformer: UsoTransformer, count: int, device: torch.device | str, modulation_in_ram: bool = False
) -> None:
    """Let `count` blocks wait in RAM; what is small or trained in them moves to `device`.

    The backward pass relies on blocks being computed again: it needs `checkpoint_blocks` too.

    Args:
        transformer: whose other blocks are on the device already.
        count: see `swapped_names`.
        device: where the blocks compute.
        modulation_in_ram: leave modulation layers to `offload_modulation`.

    Raises:
        UserError: more blocks than there are.
    """
    device = torch.device(device)
    sizes = transformer.config
    names = swapped_names(sizes.depth, sizes.depth_single_blocks, count)
    arenas = []
    for name in names:
        block = transformer.get_submodule(name)
        waiting: list[Tensor] = []
        for part in block.children():
            if isinstance(part, ModulationLayer) and modulation_in_ram:
                continue
            for tensor in [*part.parameters(), *part.buffers()]:
                if not tensor.requires_grad and tensor.numel() * tensor.element_size() > SMALL:
                    waiting.append(tensor)
                else:
                    tensor.data = tensor.data.to(device)
        arenas.append(_Arena(waiting, device))
    loose = sum(not arena.locked for arena in arenas)
    if loose and device.type == "cuda":
        logger.warning("the RAM of %d of %d blocks cannot be page-locked; swapping will be slower", loose, count)
    ring = _Ring(arenas, device)
    for number, name in enumerate(names):
        block = transformer.get_submodule(name)
        wrap_forward(block, "swap", partial(ring.run, number))


class _Piece(NamedTuple):
    tensor: Tensor
    start: int
    end: int
    dtype: torch.dtype
    shape: torch.Size

    def of(self, memory: Tensor) -> Tensor:
        return memory[self.start : self.end].view(self.dtype).view(self.shape)


class _Arena:
    """The large weights of one block in one stretch of page-locked memory, so that one copy moves them."""

    def __init__(self, weights: list[Tensor], device: torch.device):
        self.pieces: list[_Piece] = []
        end = 0
        for tensor in weights:
            start = -(-end // ALIGNMENT) * ALIGNMENT
            end = start + tensor.numel() * tensor.element_size()
            self.pieces.append(_Piece(tensor, start, end, tensor.dtype, tensor.shape))
        self.memory, self.locked = _allocate(end, device)
        for piece in self.pieces:
            piece.of(self.memory).copy_(piece.tensor.data)
        self.bind(self.memory)

    def bind(self, memory: Tensor) -> None:
        """Let the block's weights read from a copy of the arena."""
        for piece in self.pieces:
            piece.tensor.data = piece.of(memory)


def _allocate(size: int, device: torch.device) -> tuple[Tensor, bool]:
    """Return RAM for copies to a device, and whether it is page-locked: else a copy holds up the program."""
    if device.type == "cuda":
        try:
            return torch.empty(size, dtype=torch.uint8, pin_memory=True), True
        except RuntimeError:  # more than the system lets a process lock
            pass
    return torch.empty(size, dtype=torch.uint8), False


class _Ring:
    """Two places on the device and who is in them."""

    def __init__(self, arenas: list[_Arena], device: torch.device):
        self._arenas, self._device = arenas, device
        size = max(len(arena.memory) for arena in arenas)
        self._places = [torch.empty(size, dtype=torch.uint8, device=device) for _ in range(2)]
        self._owner: list[int | None] = [None, None]
        self._last = -1
        self._copies = _copy_stream(device)
        self._arrived: list[Any] = [None, None]

    def run(self, number: int, forward: Any, *inputs: Any) -> Any:
        """Bring block `number` in, start on the one that will be asked for next, compute."""
        if number not in self._owner:
            self._fetch(number, self._other(self._last))
        place = self._owner.index(number)
        if self._copies is not None:
            torch.cuda.current_stream(self._device).wait_event(self._arrived[place])
        following = self._following(number)
        self._last = number
        if following not in self._owner:
            self._fetch(following, 1 - place)
        return forward(*inputs)

    def _following(self, number: int) -> int:
        """Guess which block comes next; a wrong guess costs a copy, never a number."""
        count = len(self._arenas)
        if not torch.is_grad_enabled():
            return (number + 1) % count  # rollouts: one forward pass after another
        # A block asked for again, or one below the last: the backward pass, which ends at block 0.
        backwards = 0 < number <= self._last
        return number - 1 if backwards else min(number + 1, count - 1)

    def _other(self, number: int) -> int:
        """Return the place that the block which computed last is not in."""
        return 1 - self._owner.index(number) if number in self._owner else 0

    def _fetch(self, number: int, place: int) -> None:
        old = self._owner[place]
        if old is not None:
            self._arenas[old].bind(self._arenas[old].memory)
        arena, target = self._arenas[number], self._places[place]
        if self._copies is None:
            target[: len(arena.memory)].copy_(arena.memory)
        else:
            # All work queued so far may still read this place, so the copy waits for it; the work queued from now on
            # runs beside the copy. Backward passes read it through tensors that recomputing saved: autograd runs all of
            # a block's before it asks for the block below.
            self._copies.wait_stream(torch.cuda.current_stream(self._device))
            with torch.cuda.stream(self._copies):
                target[: len(arena.memory)].copy_(arena.memory, non_blocking=True)
                self._arrived[place] = self._copies.record_event()
        arena.bind(target)
        self._owner[place] = number


def _copy_stream(device: torch.device) -> torch.cuda.Stream | None:
    """Return a queue of copies beside the device's work; None where copies are done on the spot."""
    return torch.cuda.Stream(device) if device.type == "cuda" else None
