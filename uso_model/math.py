"""Attention, rotary positions and the timestep embedding: stateless functions.

Shapes: B batch, H heads, L tokens, D width of a head.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

__all__ = ["attend", "attention", "rotary_table", "rotate", "timestep_embedding"]


def rotary_table(ids: Tensor, axes_dim: tuple[int, ...], theta: int) -> Tensor:
    """Return the rotary cosines and sines of token positions.

    Angles are computed in float64 and stored in float32, as the official code does
    (bytedance/USO, uso/flux/math.py): at theta 10000 float32 angles would differ in the fifth digit.

    Args:
        ids: positions, `B L A`, one column per axis.
        axes_dim: rotary dimensions of each axis.
        theta: base of the frequencies.

    Returns:
        `2 B 1 L D/2`: cosines, then sines.
    """
    angles = []
    for axis, dim in enumerate(axes_dim):
        exponent = torch.arange(0, dim, 2, dtype=torch.float64, device=ids.device) / dim
        angles.append(ids[..., axis, None].to(torch.float64) * theta**-exponent)
    angle = torch.cat(angles, dim=-1).unsqueeze(1)  # B 1 L D/2
    return torch.stack([angle.cos(), angle.sin()]).float()


def rotate(x: Tensor, pe: Tensor) -> Tensor:
    """Rotate neighbouring pairs of `x` (`B H L D`) by the angles of `pe`, in float32, back in the dtype of `x`."""
    cos, sin = pe
    even, odd = x.float().unflatten(-1, (-1, 2)).unbind(-1)
    return torch.stack([even * cos - odd * sin, even * sin + odd * cos], dim=-1).flatten(-2).type_as(x)


def attention(q: Tensor, k: Tensor, v: Tensor, pe: Tensor) -> Tensor:
    """Attend jointly over all tokens, without a mask: `B H L D` x 3 -> `B L (H D)`."""
    return attend(rotate(q, pe), rotate(k, pe), v)


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attend with queries and keys that have their positions, without a mask: `B H L D` x 3 -> `B L (H D)`."""
    return rearrange(F.scaled_dot_product_attention(q, k, v), "B H L D -> B L (H D)")


def timestep_embedding(t: Tensor, dim: int, max_period: int = 10_000, time_factor: float = 1000.0) -> Tensor:
    """Return sinusoidal features `B dim` of times `B` (cosines first), in the dtype of `t`.

    `t` is scaled in its own dtype. In bfloat16 that quantises the time (0.9746 becomes 972, not 974.6),
    which the official inference inherits (bytedance/USO, uso/flux/sampling.py and modules/layers.py).
    """
    half = dim // 2
    falling = -math.log(max_period) * torch.arange(half, dtype=torch.float32, device=t.device) / half
    angle = (time_factor * t)[:, None].float() * torch.exp(falling)
    return torch.cat([angle.cos(), angle.sin()], dim=-1).to(t.dtype)
