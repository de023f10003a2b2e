"""What is kept of references: keys, rotated, and values of every block at the last one or two refreshes.

Extrapolation is linear in time: a reference's tokens are modulated by the time of the step and nothing else changes
them much, and the network's time is what its modulation sees. Only the step at pure noise leads nowhere: there is no
picture yet for references to see, and from the next step on there is. So nothing is extrapolated from it.

What is extrapolated bends, so that lines through the last two refreshes err to the same side time and again. A refresh
tells by how much, for nothing: what was foretold of it less what is computed. The corrected form lets the line go
through the last refresh with a slope that has changed by a part of that once more: with `d` the slope from one refresh
to the next and `s` the slope of the line before, `d + CORRECTION (d - s)`. It takes no more memory than the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

__all__ = ["CORRECTION", "SAME_TIME", "Block", "Kept"]

Block = tuple[str, int]
"""`double` or `single`, and the number of the block."""

SAME_TIME = 1e-6

CORRECTION = 0.45
"""Part of the last error that is made up for. USO-mini, 12 cases, 8 refreshes of 25 steps, dB to the exact pictures:
45.4 for 0, 46.9 for .3, 47.3 for .45, 47.1 for .6, 44.5 for .8."""

_PURE_NOISE = 0.9999
"""Times from here on."""


@dataclass
class Kept:
    """Keys and values of the references of one call, `b heads L D`: first the style tokens, then the content's."""

    depth: int
    """Refreshes that are kept."""
    device: torch.device
    """Where they are kept."""
    size: int = 0
    """Bytes that they take."""
    corrects: bool = False
    """Whether the last error changes the slope."""
    used: int = 0
    """Evaluation of the sampler in which they were last asked for."""
    step: int = -1
    """Of the last refresh."""
    times: list[float] = field(default_factory=list)
    """Of the refreshes, oldest first."""
    curvature: float | None = None
    """Error of the last forecast over the product of its distances in time; None: nothing was foretold yet."""
    _blocks: dict[Block, list[tuple[Tensor, Tensor]]] = field(default_factory=dict)

    def forecast(self, block: Block, time: float, part: slice, keys: Tensor, values: Tensor) -> None:
        """Write keys and values of some references' tokens at a time into tensors `b heads L D` of that many tokens."""
        newest = self._blocks[block][-1]
        weight = self._weight(time)
        for number, out in enumerate((keys, values)):
            new = newest[number][:, :, part].to(out)
            if weight == 0:
                out.copy_(new)
            else:
                old = self._blocks[block][-2][number][:, :, part].to(out)
                torch.lerp(old, new, 1 + weight, out=out)

    def correct(self, block: Block, wrong: Sequence[Tensor]) -> None:
        """Bend the line of a block, before the refresh is put that told by how much its keys and values were wrong.

        The last refresh is moved, from which the next line begins; nothing else reads it any more.

        Args:
            block: that is put next.
            wrong: what was foretold of its keys and values, `b heads L D`, less what they are.
        """
        for kept, error in zip(self._blocks[block][-1], wrong, strict=True):
            kept.add_(error.to(kept), alpha=CORRECTION)

    def put(
        self, block: Block, keys: Sequence[Tensor], values: Sequence[Tensor], time: float, again: bool = False
    ) -> None:
        """Keep keys and values `b heads L D` of a block that were computed at a time, from one or more pieces each.

        Args:
            block: that computed them.
            keys: rotated.
            values: beside them.
            time: of the step.
            again: it has put some in this very call.
        """
        entries = self._blocks.setdefault(block, [])
        if entries and (again or self.is_newest(time)):
            pair = entries.pop()
        elif len(entries) == self.depth:
            pair = entries.pop(0)  # its memory is written again: nothing is kept beyond `depth`, not for a moment
        else:
            pair = (self._empty(keys), self._empty(values))
        for kept, pieces in zip(pair, (keys, values), strict=True):
            start = 0
            for piece in pieces:
                kept[:, :, start : start + piece.shape[2]].copy_(piece)
                start += piece.shape[2]
        entries.append(pair)

    def close(self, time: float, step: int) -> None:
        """Count a refresh in which every block was put."""
        if self.is_newest(time):
            self.times[-1] = time
        else:
            self.times = [*self.times, time][-self.depth :]
        self.step = step

    def forget(self) -> None:
        """Drop all refreshes."""
        self._blocks.clear()
        self.times, self.step, self.curvature = [], -1, None

    @property
    def foretells(self) -> bool:
        """Whether a forecast is of the kind that later ones are: no line is drawn before two refreshes after noise."""
        return len(self.times) == self.depth and (self.depth == 1 or self.times[0] < _PURE_NOISE)

    def foretells_of(self, time: float) -> bool:
        """Whether what is computed at a time can be compared with a forecast of that kind."""
        return self.foretells and not self.is_newest(time)

    def distance(self, time: float) -> float:
        """Return the product of the distances in time to the refreshes: an extrapolation's error grows with it."""
        found = 1.0
        for known in self.times:
            found *= abs(known - time)
        return found

    def is_newest(self, time: float) -> bool:
        """Whether the last refresh was at this time."""
        return bool(self.times) and abs(self.times[-1] - time) < SAME_TIME

    def _empty(self, pieces: Sequence[Tensor]) -> Tensor:
        batch, heads, _, width = pieces[0].shape
        shape = (batch, heads, sum(piece.shape[2] for piece in pieces), width)
        return torch.empty(shape, dtype=pieces[0].dtype, device=self.device)

    def _weight(self, time: float) -> float:
        """Return how far to go on from the last refresh, in distances of the last two."""
        if self.depth == 1 or not self.foretells:
            return 0.0
        before, last = self.times
        return (time - last) / (last - before)
