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
from ...uso_model.transformer import UsoTransformer
from ..adapters import adapters_off
from ..data.batch import Sample, in_order, stack_by_shape
from ..engine.randomness import StepRandom
from ..recipe import FlowConfig, PreserveConfig
from .conditions import conditioning_of
from .flow import draw

__all__ = ["PreservationObjective", "preserve_weight"]


def preserve_weight(preserve: PreserveConfig) -> Callable[[int], float]:
    """Return the term's weight as a function of the step."""
    return lambda step: 0.0 if step % preserve.every else preserve.weight


class PreservationObjective:
    """Mean squared difference of the velocities with and without the LoRA, of rows without their references."""

    def __init__(self, transformer: UsoTransformer, flow: FlowConfig, empty: tuple[Tensor, Tensor] | None):
        """Join what is needed.

        Args:
            transformer: with branches; see `add_lora`.
            flow: law of the times, range of the guidance.
            empty: text tokens `L D` and pooled text `D` of the empty prompt; None keeps each row's own.
        """
        self._transformer, self._flow, self._empty = transformer, flow, empty

    def losses(self, samples: Sequence[Sample], random: StepRandom) -> dict[str, Tensor]:
        """Return the mean loss of the rows and the loss of each; times and noise are those of the flow loss."""
        device = next(self._transformer.parameters()).device
        bare = [self._without_references(sample) for sample in samples]
        draws = draw(self._flow, bare, random)
        batches, errors = stack_by_shape(bare), []
        for batch in batches:
            point, guidance = draws.of(batch, device)
            conditioning = conditioning_of(batch, None, guidance, device)
            follow = velocity(self._transformer, conditioning)
            with torch.no_grad(), adapters_off(self._transformer):
                before = follow(point.x_t, point.t).float()
            errors.append((follow(point.x_t, point.t).float() - before).square().flatten(1).mean(dim=1))
        rows = in_order(batches, errors)
        return {"loss": rows.mean(), "rows": rows.detach()}

    def _without_references(self, sample: Sample) -> Sample:
        txt, vec = (sample.txt, sample.vec) if self._empty is None else self._empty
        return sample._replace(txt=txt, vec=vec, styles=(), style_latents=(), content=None, look=None)
