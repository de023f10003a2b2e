"""The loss of held-out rows at fixed times and with fixed noise: a curve without the scatter of training."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ..data.batch import Sample
from ..engine.loss import Monitor
from ..engine.telling import telling
from ..networks import Networks
from ..objective.flow import Draws
from ..objective.step import flow_matching_loss
from .stopping import Check, unchecked

__all__ = ["TIMES", "validation"]

TIMES = torch.tensor([(i + 0.5) / 8 for i in range(8)])
"""The middles of eighths (pytorch/torchtitan, torchtitan/models/flux/validate.py)."""


def validation(
    networks: Networks, samples: Sequence[Sample], guidance: float, every: int, check: Check = unchecked
) -> Monitor:
    """Return a monitor of `validation_loss`, and of its mean over the times nearer to the picture and to noise."""

    @torch.no_grad()
    def measure(step: int) -> dict[str, float]:
        found = []
        with telling("measuring the validation loss"):
            for number, sample in enumerate(samples):
                check()
                found.append(_at_all_times(networks, sample, number, guidance))
        losses = torch.stack(found)
        by_time = losses.mean(dim=0)
        half = len(TIMES) // 2
        return {
            "validation_loss": by_time.mean().item(),
            "validation_loss_low": by_time[:half].mean().item(),
            "validation_loss_high": by_time[half:].mean().item(),
        }

    return Monitor("validation", every, measure)


def _at_all_times(networks: Networks, sample: Sample, number: int, guidance: float) -> torch.Tensor:
    generator = torch.Generator().manual_seed(number)
    noise = torch.randn(sample.latent.shape, generator=generator)
    # One time after the other: a validation row may be as large as a training row, of which the GPU holds one.
    draws = [Draws(t[None], [noise], torch.full((1,), guidance)) for t in TIMES]
    return torch.cat([flow_matching_loss(networks, [sample], at)["rows"] for at in draws]).cpu()
