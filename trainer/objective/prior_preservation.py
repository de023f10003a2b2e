"""Preservation: without references the trained model goes on as the model it was before.

A LoRA for references changes what the network does without any, on which nothing in its data bears; and that is the
negative side of classifier-free guidance, which multiplies its faults. So the network with the LoRA is asked for the
velocity of the network without it. Trainers for plain LoRAs call this blank prompt preservation (ostris/ai-toolkit).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ...uso_model.sampling import velocity
from ..data.batch import Sample, in_order, stack_by_shape
from ..engine.randomness import StepRandom
from ..lora.adapters import adapters_off
from ..networks import Networks
from ..recipe import FlowConfig, PriorPreservationConfig
from .conditions import conditioning_of
from .flow import draw

__all__ = ["PriorPreservationObjective", "prior_preservation_weight"]


def prior_preservation_weight(prior_preservation: PriorPreservationConfig) -> Callable[[int], float]:
    """Return the term's weight as a function of the step."""
    return lambda step: 0.0 if step % prior_preservation.every else prior_preservation.weight


class PriorPreservationObjective:
    """Mean squared difference of the velocities with and without the LoRA, of rows without their references."""

    def __init__(self, networks: Networks, flow: FlowConfig, empty: tuple[Tensor, Tensor] | None):
        """Join what is needed.

        Args:
            networks: the transformer with branches; see `add_lora`.
            flow: law of the times, range of the guidance.
            empty: text tokens `L D` and pooled text `D` of the empty prompt; None keeps each row's own.
        """
        self._networks, self._flow, self._empty = networks, flow, empty

    def losses(self, samples: Sequence[Sample], random: StepRandom) -> dict[str, Tensor]:
        """Return the mean loss of the rows and the loss of each; times and noise are those of the flow loss."""
        device, transformer = self._networks.device, self._networks.transformer
        bare = [self._without_references(sample) for sample in samples]
        draws = draw(self._flow, bare, random)
        batches, errors = stack_by_shape(bare), []
        for batch in batches:
            point, guidance = draws.of(batch, device)
            conditioning = conditioning_of(batch, None, guidance, device)
            follow = velocity(transformer, conditioning)
            with torch.no_grad(), adapters_off(transformer):
                before = follow(point.x_t, point.t).float()
            errors.append((follow(point.x_t, point.t).float() - before).square().flatten(1).mean(dim=1))
        rows = in_order(batches, errors)
        return {"loss": rows.mean(), "rows": rows.detach()}

    def _without_references(self, sample: Sample) -> Sample:
        txt, vec = (sample.txt, sample.vec) if self._empty is None else self._empty
        return sample._replace(txt=txt, vec=vec, styles=(), style_latents=(), contents=(), descriptors={})
