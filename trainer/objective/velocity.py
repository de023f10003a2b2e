"""The flow-matching loss: noise the targets, predict the velocity, compare."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ...uso_model.projector import HierarchicalProjector
from ...uso_model.sampling import velocity
from ...uso_model.transformer import UsoTransformer
from ..data.batch import Sample, in_order, stack_by_shape
from ..engine.randomness import StepRandom
from ..recipe import ConditionsConfig, FlowConfig
from .conditions import conditioning_of, drop_conditions
from .flow import Draws, draw

__all__ = ["VelocityObjective"]

TIME_BINS = 4


class VelocityObjective:
    """Mean squared error of the velocity of the target tokens (arXiv 2508.18966, section 3.1)."""

    def __init__(
        self,
        transformer: UsoTransformer,
        projector: HierarchicalProjector | None,
        flow: FlowConfig,
        conditions: ConditionsConfig,
    ):
        """Join the networks.

        Args:
            transformer: predicts the velocity.
            projector: style features to tokens; None where no row has a style reference.
            flow: law of the times, range of the guidance (UNO trains at 1).
            conditions: dropout of the references.
        """
        self._transformer, self._projector, self._flow, self._conditions = transformer, projector, flow, conditions

    def losses(self, samples: Sequence[Sample], random: StepRandom) -> dict[str, Tensor]:
        """Return the mean loss of the rows, the loss of each, and the means of four bins of time.

        Times, noise, guidance and dropout of a row come from its own generators.
        """
        kept = [
            drop_conditions(sample, self._conditions.dropout, self._conditions.mode, random.row(place, "dropout"))
            for place, sample in enumerate(samples)
        ]
        draws = draw(self._flow, kept, random)
        errors = self.row_losses(kept, draws)
        return {"loss": errors.mean(), "rows": errors.detach(), **_by_time(draws.t, errors.detach())}

    def row_losses(self, samples: Sequence[Sample], draws: Draws) -> Tensor:
        """Return the loss of each row, of any shapes: `b`, float32."""
        device = next(self._transformer.parameters()).device
        batches, errors = stack_by_shape(samples), []
        for batch in batches:
            point, guidance = draws.of(batch, device)
            conditioning = conditioning_of(batch, self._projector, guidance, device)
            predicted = velocity(self._transformer, conditioning)(point.x_t, point.t)
            errors.append((predicted.float() - point.target.float()).square().flatten(1).mean(dim=1))
        return in_order(batches, errors)


def _by_time(t: Tensor, errors: Tensor) -> dict[str, Tensor]:
    """Return the mean loss of each quarter of time that occurred: a single mean hides a divergence at one end."""
    bins = (t * TIME_BINS).long().clamp(max=TIME_BINS - 1).to(errors.device)
    return {f"loss_t{n}": errors[bins == n].mean() for n in bins.unique().tolist()}
