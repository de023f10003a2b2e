"""Rectified flow: times, the noisy latent and the velocity to learn.

x_t = (1 - t) * latent + t * noise and target = noise - latent (Liu et al. 2022, eq. 1; t runs as in FLUX: 1 is noise).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ...uso_model.errors import UserError
from ...uso_model.packing import token_grid
from ...uso_model.schedule import mu_for_tokens, shift_time, shifted_schedule
from ..data.batch import Batch, Sample
from ..engine.randomness import StepRandom
from ..recipe import FlowConfig, TimestepSampling

__all__ = ["Draws", "FlowSample", "draw", "mix", "sample_timesteps"]

_TABLE = 1000


class FlowSample(NamedTuple):
    """A point on the way from latent to noise."""

    x_t: Tensor
    """Noisy latent, `b c h w`."""
    t: Tensor
    """Its time, `b`."""
    target: Tensor
    """Velocity there, `b c h w`."""


def sample_timesteps(law: TimestepSampling, count: int, tokens: int, generator: torch.Generator) -> Tensor:
    """Draw training times in (0, 1], `count`, float32.

    Args:
        law: `uniform_shifted` picks uniformly from a 1000-entry table shifted for the picture's token count
            (bytedance/UNO, train.py); `logit_normal` is the sigmoid of a unit Gaussian, shifted likewise
            (Esser et al. 2024, section 3.1).
        count: how many.
        tokens: image tokens of the target.
        generator: source of the draw.

    Raises:
        UserError: an unknown law.
    """
    if law == "uniform_shifted":
        table = shifted_schedule(_TABLE, mu_for_tokens(tokens))[:-1]
        return table[torch.randint(_TABLE, (count,), generator=generator)]
    if law == "logit_normal":
        return shift_time(torch.sigmoid(torch.randn(count, generator=generator)), mu_for_tokens(tokens))
    raise UserError(f"unknown time law {law!r}; use uniform_shifted or logit_normal")


def mix(latent: Tensor, noise: Tensor, t: Tensor) -> FlowSample:
    """Return the point at time `t` (`b`) between a latent and noise, both `b c h w`, and the velocity there."""
    weight = t.to(latent)[:, None, None, None]
    return FlowSample((1 - weight) * latent + weight * noise, t, noise - latent)


class Draws(NamedTuple):
    """What is random about the rows of a batch."""

    t: Tensor
    """Times, `b`."""
    noise: Sequence[Tensor]
    """Noise of each row, `c h w`."""
    guidance: Tensor
    """Distilled guidance, `b`."""

    def of(self, batch: Batch, device: torch.device) -> tuple[FlowSample, Tensor]:
        """Return the points of those rows that were stacked, on a device, and their guidance."""
        noise = torch.stack([self.noise[place] for place in batch.places]).to(device)
        return mix(batch.latent.to(device), noise, self.t[batch.places].to(device)), self.guidance[batch.places]


def draw(config: FlowConfig, samples: Sequence[Sample], random: StepRandom) -> Draws:
    """Draw time, noise and guidance of each row from its own generators."""
    low, high = config.guidance
    times, noise, guidance = [], [], []
    for place, sample in enumerate(samples):
        rows, columns = token_grid(sample.latent[None])
        times.append(sample_timesteps(config.timestep_sampling, 1, rows * columns, random.row(place, "time")))
        noise.append(torch.randn(sample.latent.shape, generator=random.row(place, "noise")))
        guidance.append(low + (high - low) * torch.rand(1, generator=random.row(place, "guidance")))
    return Draws(torch.cat(times), noise, torch.cat(guidance))
