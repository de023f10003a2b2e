"""How far the adapters have moved the velocity's size: an early sign of a run, or a reward, going wrong."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import torch

from ...uso_model.sampling import velocity
from ..data.batch import Sample, stack_by_shape
from ..engine.loss import Monitor
from ..lora.adapters import adapters_off
from ..networks import Networks
from ..objective.conditions import conditioning_of

__all__ = ["ALARMING", "drift"]

logger = logging.getLogger(__name__)

ALARMING = 1.05
"""Growth of the velocity above which a warning is logged; our own choice. Healthy adapters leave its size alone: what
grows it is a reward that burns pictures (NormGuard, arXiv 2606.27771, penalises the same)."""


def drift(networks: Networks, samples: Sequence[Sample], every: int) -> Monitor:
    """Return a monitor of `velocity_drift`: mean length of the velocity with the adapters over that without.

    Args:
        networks: the transformer with adapters.
        samples: a fixed probe; noised half-way with fixed noise.
        every: steps between two measurements.
    """

    transformer, projector, isolated = networks

    def length() -> torch.Tensor:
        device = networks.device
        lengths = []
        for batch in stack_by_shape(samples):
            generator = torch.Generator().manual_seed(0)
            noise = torch.randn(batch.latent.shape, generator=generator)
            x = (0.5 * batch.latent + 0.5 * noise).to(device)
            conditioning = conditioning_of(batch, projector, torch.ones(len(x)), device, isolated)
            v = velocity(transformer, conditioning)(x, torch.full((len(x),), 0.5, device=device))
            lengths.append(v.float().flatten(1).norm(dim=1))
        return torch.cat(lengths).mean()

    @torch.no_grad()
    def measure(step: int) -> dict[str, float]:
        grown = length()
        with adapters_off(transformer):
            ratio = (grown / length()).item()
        if ratio > ALARMING:
            logger.warning("step %d: velocities are %.2f times as long as without the LoRA", step, ratio)
        return {"velocity_drift": ratio}

    return Monitor("drift", every, measure)
