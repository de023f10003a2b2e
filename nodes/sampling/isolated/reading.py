"""What one model call reads of its isolated references."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from comfy.ldm.flux.math import apply_rope1
from torch import Tensor

from ..put_back import Joined

__all__ = ["Block", "Blocks", "Reading"]

Block = tuple[str, int]
"""`double` or `single`, and the number of the block."""

Blocks = Mapping[Block, tuple[Tensor, Tensor]]
"""Keys before rotary, and values, of every block, `1 heads L D`: first the style tokens, then the content's."""


@dataclass
class Reading:
    """The references of a call: the same in all its rows, or one set for each row."""

    sets: Sequence[Blocks]
    style: int
    """Style tokens; their positions are zero, which rotates nothing."""
    content: int
    """Content tokens."""
    embed: Callable[[Tensor], Tensor]
    """The network's rotary table of position ids."""
    _table: Tensor | None = None

    def place(self, ids: Tensor) -> None:
        """Say where the content tokens stand in this call: ids `1 L 3`."""
        self._table = self.embed(ids)

    def write(self, block: Block, part: slice, keys: Tensor, values: Tensor) -> None:
        """Write rotated keys, and values, of the style tokens or of the others into tensors `b heads L D`."""
        for row, blocks in enumerate(self.sets):
            own_keys, own_values = (kept[:, :, part].to(values) for kept in blocks[block])
            if self._table is not None and part.start >= self.style:
                own_keys = apply_rope1(own_keys, self._table)
            rows = slice(None) if len(self.sets) == 1 else slice(row, row + 1)
            keys[rows], values[rows] = own_keys, own_values

    @cached_property
    def joined(self) -> Joined:
        """Return what all blocks of the call see."""
        return Joined(self.style, self.content)
