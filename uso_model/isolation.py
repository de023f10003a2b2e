"""Isolated references: style and content tokens see only themselves, and know neither time nor prompt.

All style tokens see each other; each content reference sees itself; text and image tokens see everything. References
are modulated by a fixed vector in every block. So their values, and their keys before rotary, are the same at every
step of every sampling, whatever the prompt, the guidance and the size of the drawn picture. Positions are not: content
references begin at the target's sides, so keys are rotated when they are read. Among a reference's own tokens only
distances count, which that shift leaves as they are.

Networks have to be trained for it: conditions.isolated of the trainer's recipes.
Shapes: B batch, H heads, L tokens, D width of a head.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from .math import attend, rotate

__all__ = ["ISOLATED_GUIDANCE", "ISOLATED_TIME", "Isolation", "is_mark", "mark"]

ISOLATED_TIME = 0.0
"""References are pictures without noise."""
ISOLATED_GUIDANCE = 1.0
"""Guidance of the official training (bytedance/UNO, train.py)."""
_MARK = 2.0**-100
"""Every entry of `mark`: exact in bfloat16 and float32, and added to a bias it changes nothing."""
_LARGEST_MARK = 1e-20
"""Size of the entries up to which a tensor may be the mark: a merge of LoRAs multiplies it by their strengths."""


def mark(channels: int) -> Tensor:
    """Return the change of FLUX's last bias that marks a LoRA as isolated; float32, as float16 would round it to 0."""
    return torch.full((channels,), _MARK)


def is_mark(tensor: Tensor) -> bool:
    """Whether a change of FLUX's last bias is the mark. One of zeros is not: tools that extract LoRAs write those."""
    if not tensor.numel() or not tensor.is_floating_point():
        return False
    values = tensor.float()
    first = values.flatten()[0]
    return bool((values == first).all()) and 0 < abs(float(first)) <= _LARGEST_MARK


class Isolation(NamedTuple):
    """Lengths of the parts of the sequence `[style, txt, img, refs]`."""

    style: int
    text: int
    image: int
    refs: tuple[int, ...]
    """Tokens of each content reference."""
    watch: Callable[[Tensor, Tensor], None] | None = None
    """Is given the references' keys before rotary, and values, of every block: each `B H L D`, style first."""

    @property
    def own(self) -> int:
        """Text and image tokens."""
        return self.text + self.image

    def show(self, k: Tensor, v: Tensor) -> None:
        """Give `watch` the references' part of the keys and values of a sequence, each `B H L D`."""
        if self.watch is not None:
            end = self.style + self.own
            self.watch(*(torch.cat([x[:, :, : self.style], x[:, :, end:]], dim=2) for x in (k, v)))

    def attention(self, q: Tensor, k: Tensor, v: Tensor, pe: Tensor) -> Tensor:
        """Let every part attend to what it sees: `B H L D` x 3 -> `B L (H D)`, without a mask.

        Args:
            q: queries of the whole sequence, normalised.
            k: keys.
            v: values.
            pe: rotary table of the sequence.
        """
        self.show(k, v)
        lengths = [self.style, self.own, *self.refs]
        q, k = rotate(q, pe), rotate(k, pe)
        parts = zip(*(x.split(lengths, dim=2) for x in (q, k, v)), strict=True)
        seen = [
            attend(part_q, k, v) if number == 1 else attend(part_q, part_k, part_v)
            for number, (part_q, part_k, part_v) in enumerate(parts)
            if part_q.shape[2]
        ]
        return torch.cat(seen, dim=1)
