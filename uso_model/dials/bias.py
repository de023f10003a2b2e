"""Strength as a bias of attention.

Scaling tokens is no dial: a block normalises them before it reads them. What works is the logarithm of the strength,
added to the attention scores of a reference's keys: softmax then weighs them as if each key stood there `strength`
times. 1 adds nothing, 0 would be minus infinity and is done by leaving the tokens out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["OFF", "Layout", "Reference", "attention_bias", "is_neutral", "region_rows", "value_scale"]

OFF = -1e4
"""Bias of a key that must not count; minus infinity would make rows of nothing but it undefined."""


@dataclass(frozen=True)
class Layout:
    """How many tokens of each sort the sequence `[style, text, image, references]` has."""

    style: int
    text: int
    image: tuple[int, int]
    """Rows and columns of the drawn picture's tokens."""
    references: tuple[int, ...] = ()
    """Tokens of each content reference."""

    @property
    def length(self) -> int:
        """All tokens."""
        return self.style + self.text + self.image[0] * self.image[1] + sum(self.references)


@dataclass(frozen=True)
class Reference:
    """What is set on one reference."""

    start: int
    """First of its tokens in the sequence."""
    length: int
    bias: Tensor | float = 0.0
    """Logarithm of its strength: a number, or `b n` for each of its `n` tokens (1: for all), by place in the batch."""
    region: Tensor | None = None
    """Where in the drawn picture it counts: `b h w` in 0..1, of any size; None: everywhere."""


def is_neutral(references: Sequence[Reference]) -> bool:
    """Whether nothing is set on any of them, so that attention needs no bias at all. Tensors count as set, unread."""
    return all(part.region is None and not isinstance(part.bias, Tensor) and part.bias == 0 for part in references)


def attention_bias(layout: Layout, references: Sequence[Reference], like: Tensor) -> Tensor:
    """Return what is added to the attention scores, `b 1 1 L`, or `b 1 L L` where a reference has a region.

    Image tokens outside a region do not see the reference; text and other references see it in proportion to its size.

    Args:
        layout: of the sequence.
        references: those that have something set; the others have bias 0.
        like: gives device and dtype.
    """
    keys = _key_bias(layout, references, like.device)
    regional = [part for part in references if part.region is not None]
    if not regional:
        return keys[:, None, None].to(like.dtype)
    batch = max(len(keys), *(part.region.shape[0] for part in regional if part.region is not None))
    scores = keys[:, None, None].expand(batch, 1, layout.length, layout.length).clone()
    for part in regional:
        assert part.region is not None
        rows = region_rows(layout, part, part.region.to(like.device))
        scores[:, 0, :, part.start : part.start + part.length] += rows[:, :, None]
    return scores.to(like.dtype)


def value_scale(layout: Layout, references: Sequence[Reference], like: Tensor) -> Tensor:
    """Return factors of the attention values, `b 1 L 1`: the fast form of strength, which needs no mask.

    Attention then returns `sum(a s v)` of weights `a`, values `v` and strengths `s` where the exact form returns
    `sum(a s v) / sum(a s)`: what a reference loses is not handed to the other tokens, and what it gains is not taken
    from them. Regions cannot be expressed in this way and are not read.

    Args:
        layout: of the sequence.
        references: those that have something set; the others have bias 0.
        like: gives device and dtype.
    """
    return _key_bias(layout, references, like.device).exp()[:, None, :, None].to(like.dtype)


def _key_bias(layout: Layout, references: Sequence[Reference], device: torch.device) -> Tensor:
    """Return the logarithm of every token's strength, `b L`."""
    batch = max((len(part.bias) for part in references if isinstance(part.bias, Tensor)), default=1)
    keys = torch.zeros(batch, layout.length, device=device)
    for part in references:
        bias = part.bias.to(keys) if isinstance(part.bias, Tensor) else part.bias
        keys[:, part.start : part.start + part.length] += bias
    return keys


def region_rows(layout: Layout, reference: Reference, region: Tensor) -> Tensor:
    """Return the logarithm of how much each token may see a reference, `b L`.

    Args:
        layout: of the sequence.
        reference: its own tokens always see each other.
        region: `b h w` in 0..1.
    """
    rows, columns = layout.image
    small = F.interpolate(region[:, None].float(), (rows, columns), mode="area")[:, 0].clamp(0, 1)
    seen = torch.ones(region.shape[0], layout.length, device=region.device)
    first = layout.style + layout.text
    # What carries no place of its own would hand the reference on to everywhere, so it sees as much as the region is
    # large.
    seen[:] = small.mean(dim=(1, 2))[:, None]
    seen[:, first : first + rows * columns] = small.flatten(1)
    seen[:, reference.start : reference.start + reference.length] = 1.0
    return seen.clamp_min(1e-12).log().masked_fill(seen <= 0, OFF)
