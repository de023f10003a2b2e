"""Several styles to one set of tokens."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..errors import UserError

__all__ = ["MODES", "mix"]

MODES = ("concat", "average", "lerp", "slerp")
"""One after the other; weighted mean; on the straight line between two; on the arc between two."""


def mix(tokens: Sequence[Tensor], weights: Sequence[float], mode: str) -> Tensor:
    """Return one set of style tokens, `1 L D`, of several of the same shape.

    Args:
        tokens: each `1 L D`.
        weights: one for each; they need not add up to 1. `slerp` and `lerp` take two and use the second's share.
        mode: `average`, `lerp` or `slerp`; `concat` makes no single set.

    Raises:
        UserError: shapes differ, weights do not fit, or the mode cannot mix so many.
    """
    shapes = {tuple(part.shape) for part in tokens}
    total = float(sum(weights))
    if len(shapes) != 1:
        raise UserError(
            f"Got styles of shapes {sorted(shapes)} to {mode}, expected equally many tokens in each: use concat, or "
            "give every style the same levels and number of pictures."
        )
    if len(weights) != len(tokens) or total == 0:
        raise UserError(
            f"Got the weights {list(weights)} for {len(tokens)} styles, expected one for each and not all 0: "
            "correct them."
        )
    if mode == "average":
        stack = torch.stack([part * (weight / total) for part, weight in zip(tokens, weights, strict=True)])
        return stack.sum(0)
    if mode not in MODES or len(tokens) != 2:
        raise UserError(f"Got {len(tokens)} styles to mix by {mode!r}, expected 2 for lerp and slerp: use average.")
    share = weights[1] / total
    if mode == "lerp":
        return torch.lerp(tokens[0], tokens[1], share)
    return _slerp(tokens[0], tokens[1], share)


def _slerp(a: Tensor, b: Tensor, share: float) -> Tensor:
    """Return the point between two sets of tokens, each token on the arc between its two ends.

    Source: Shoemake 1985, "Animating rotation with quaternion curves"; lengths go linearly.
    """
    length_a, length_b = a.norm(dim=-1, keepdim=True), b.norm(dim=-1, keepdim=True)
    unit_a, unit_b = a / length_a.clamp_min(1e-12), b / length_b.clamp_min(1e-12)
    angle = (unit_a * unit_b).sum(dim=-1, keepdim=True).clamp(-1, 1).acos()
    sine = angle.sin()
    near = sine < 1e-4
    safe = torch.where(near, torch.ones_like(sine), sine)
    first = torch.where(near, torch.full_like(sine, 1 - share), ((1 - share) * angle).sin() / safe)
    second = torch.where(near, torch.full_like(sine, share), (share * angle).sin() / safe)
    return (first * unit_a + second * unit_b) * torch.lerp(length_a, length_b, share)
