"""A training step's loss from end to end: draw, drop conditions, condition, predict, compare."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from ...uso_model.sampling import velocity
from ..data.batch import Sample, in_order, stack_by_shape
from ..engine.loss import LossTerm
from ..engine.randomness import StepRandom
from ..networks import Networks
from ..recipe import ConditionsConfig, FlowConfig
from .conditions import conditioning_of, drop_conditions
from .flow import Draws, draw

__all__ = ["flow_matching_loss", "flow_matching_term"]

TIME_BINS = 4

_LEAST = 1e-6


def flow_matching_term(networks: Networks, flow: FlowConfig, conditions: ConditionsConfig) -> LossTerm:
    """Return the loss of a training step as a term of the loop."""
    return LossTerm("flow", partial(_losses, networks, flow, conditions))


def _losses(
    networks: Networks, flow: FlowConfig, conditions: ConditionsConfig, samples: Sequence[Sample], random: StepRandom
) -> dict[str, Tensor]:
    if networks.dropout is not None:
        networks.dropout.draw(random)
    return flow_matching_loss(networks, samples, draw(flow, samples, random), conditions, random)


def flow_matching_loss(
    networks: Networks,
    samples: Sequence[Sample],
    draws: Draws,
    conditions: ConditionsConfig | None = None,
    random: StepRandom | None = None,
) -> dict[str, Tensor]:
    """Return the mean squared error of the velocity of the target tokens (arXiv 2508.18966, section 3.1).

    Where rows have masks it is the mean weighted by them.

    Args:
        networks: of the stage.
        samples: encoded rows of any shapes.
        draws: time, noise and guidance of each row.
        conditions: dropout of the references; None drops none.
        random: of the step; a row's dropout comes from its own generator.

    Returns:
        `loss`, the mean over the rows; `rows`, that of each, `b`, float32, detached; `times` of their noise, `b`; and
        `loss_t0` to `loss_t3`, the means of four bins of time.
    """
    # 1. Leave references out, by leaving out their tokens.
    if conditions is not None and random is not None:
        samples = [
            drop_conditions(sample, conditions.dropout, conditions.mode, random.row(place, "dropout"))
            for place, sample in enumerate(samples)
        ]
    # 2. Rows of one shape go through the network together.
    device = networks.device
    batches, errors = stack_by_shape(samples), []
    for batch in batches:
        # 3. A point between picture and noise, and the velocity there.
        point, guidance = draws.of(batch, device)
        # 4. Text tokens, style tokens (projected with a gradient), content latents.
        conditioning = conditioning_of(batch, networks.projector, guidance, device, networks.isolated)
        # 5. Predict and compare, in float32.
        predicted = velocity(networks.transformer, conditioning)(point.x_t, point.t)
        error = (predicted.float() - point.target.float()).square()
        errors.append(_mean(error, None if batch.weight is None else batch.weight.to(device)))
    rows = in_order(batches, errors)
    return {"loss": rows.mean(), "rows": rows.detach(), "times": draws.t, **_by_time(draws.t, rows.detach())}


def _mean(error: Tensor, weight: Tensor | None) -> Tensor:
    """Return the mean of errors `b c h w` over all but the rows, weighted by place with `b h w`; `b`."""
    if weight is None:
        return error.flatten(1).mean(dim=1)
    # A mask that is black all over gives a loss of 0.
    return (error * weight[:, None]).flatten(1).mean(dim=1) / weight.flatten(1).mean(dim=1).clamp_min(_LEAST)


def _by_time(t: Tensor, errors: Tensor) -> dict[str, Tensor]:
    """Return the mean loss of each quarter of time that occurred: a single mean hides a divergence at one end."""
    bins = (t * TIME_BINS).long().clamp(max=TIME_BINS - 1).to(errors.device)
    return {f"loss_t{n}": errors[bins == n].mean() for n in torch.unique(bins).tolist()}
