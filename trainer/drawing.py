"""Latents of encoded rows: noise by seed, conditions, the Euler loop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ..uso_model.packing import PIXELS_PER_LATENT
from ..uso_model.sampling import euler, guided, velocity
from ..uso_model.schedule import official_schedule
from .data.batch import Sample, in_order, stack_by_shape
from .networks import Networks
from .objective.conditions import conditioning_of, unconditional

__all__ = ["GUIDANCE", "Manner", "draw_latents"]

GUIDANCE = 4.0
"""Distilled guidance at inference (bytedance/USO, inference.py)."""


class Manner(NamedTuple):
    """How pictures are drawn."""

    steps: int
    guidance: float = GUIDANCE
    """Distilled."""
    cfg: float = 1.0
    """Classifier-free guidance; 1, none, where guidance is distilled."""


def _nothing() -> None:
    """Go on."""


@torch.no_grad()
def draw_latents(
    networks: Networks,
    samples: Sequence[Sample],
    seeds: Sequence[int],
    manner: Manner,
    empty: Callable[[], tuple[Tensor, Tensor]],
    check: Callable[[], None] = _nothing,
) -> Tensor:
    """Return the latents `b c h w` of drawn pictures, in the order of the samples.

    Args:
        networks: that draw.
        samples: with conditions, and latents of the size to draw, which must be one size.
        seeds: of each sample's noise, which is drawn on the CPU and so is the same on every machine.
        manner: steps and guidance.
        empty: returns the text of the empty prompt, for guidance without references.
        check: is called before each pass of the transformer.
    """
    device, (transformer, projector, isolated) = networks.device, networks
    found, batches = [], stack_by_shape(samples)
    for batch in batches:
        rows = [torch.Generator().manual_seed(seeds[place]) for place in batch.places]
        noise = torch.stack([torch.randn(batch.latent.shape[1:], generator=generator) for generator in rows])
        height, width = (PIXELS_PER_LATENT * side for side in batch.latent.shape[-2:])
        guidance = torch.full((len(rows),), manner.guidance)
        follow = velocity(transformer, conditioning_of(batch, projector, guidance, device, isolated))
        if manner.cfg != 1:
            away = velocity(transformer, unconditional(empty(), guidance, device))
            follow = guided(follow, away, manner.cfg)

        def checked(x: Tensor, t: Tensor, follow: Callable[[Tensor, Tensor], Tensor] = follow) -> Tensor:
            check()
            return follow(x, t).float()

        found.append(euler(checked, noise.to(device), official_schedule(manner.steps, width, height)))
    return in_order(batches, found)
