"""Sampling times from 1 (noise) to 0 (picture) and the time shift of rectified-flow transformers.

Source: black-forest-labs/flux, src/flux/sampling.py (time_shift, get_schedule); bytedance/USO, uso/flux/pipeline.py.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .errors import UserError
from .packing import PIXELS_PER_LATENT, PIXELS_PER_TOKEN

__all__ = [
    "flux_schedule",
    "mu_for_tokens",
    "official_mu",
    "official_schedule",
    "shift_time",
    "shifted_schedule",
    "token_count",
]


def token_count(width: int, height: int) -> int:
    """Return the number of image tokens of a picture, sides floored to a multiple of 16 pixels."""
    return (width // PIXELS_PER_TOKEN) * (height // PIXELS_PER_TOKEN)


def mu_for_tokens(tokens: int) -> float:
    """Return FLUX.1's shift: 0.5 at 256 image tokens, 1.15 at 4096, linear between and beyond."""
    slope = (1.15 - 0.5) / (4096 - 256)
    return slope * tokens + (0.5 - slope * 256)


def official_mu(width: int, height: int) -> float:
    """Return the shift that USO's pipeline uses, both sides floored to a multiple of 16 pixels as it does.

    The official pipeline counts `(W//8)*(H//8)//256` tokens, 64 instead of 4096 at 1024x1024, so that its shift is
    nearly independent of the size (0.4675 there). The published samples were made with it.
    """
    latents = token_count(width, height) * (PIXELS_PER_TOKEN // PIXELS_PER_LATENT) ** 2
    return mu_for_tokens(latents // 256)


def shift_time(t: Tensor, mu: float) -> Tensor:
    """Shift times towards the noise: `e^mu / (e^mu + 1/t - 1)`; 0 and 1 stay."""
    return math.exp(mu) / (math.exp(mu) + (1 / t - 1))


def shifted_schedule(steps: int, mu: float) -> Tensor:
    """Return `steps` + 1 shifted times from 1 to 0, float32.

    Raises:
        UserError: fewer than one step.
    """
    if steps < 1:
        raise UserError(f"a schedule needs at least 1 step, got {steps}")
    return shift_time(torch.linspace(1, 0, steps + 1), mu)


def official_schedule(steps: int, width: int, height: int) -> Tensor:
    """Return USO's times for a picture of `width` x `height` pixels (see `official_mu`)."""
    return shifted_schedule(steps, official_mu(width, height))


def flux_schedule(steps: int, tokens: int) -> Tensor:
    """Return FLUX.1's times for a picture of `tokens` image tokens."""
    return shifted_schedule(steps, mu_for_tokens(tokens))
