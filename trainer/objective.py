"""The flow-matching loss of a batch: noise it, predict the velocity, compare."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..uso_model.packing import token_grid
from ..uso_model.projector import HierarchicalProjector
from ..uso_model.sampling import Conditioning, velocity
from ..uso_model.transformer import UsoTransformer
from .dataset import Batch, DropMode, drop_conditions
from .flow import TimeLaw, mix, sample_times

__all__ = ["FlowObjective"]


class FlowObjective(nn.Module):
    """Mean squared error of the velocity of the target tokens (arXiv 2508.18966, section 3.1)."""

    def __init__(
        self,
        transformer: UsoTransformer,
        projector: HierarchicalProjector | None,
        time_law: TimeLaw,
        condition_dropout: float = 0.0,
        drop_mode: DropMode = "one_of",
        guidance: tuple[float, float] = (1.0, 1.0),
    ):
        """Join the networks.

        Args:
            transformer: predicts the velocity.
            projector: style features to tokens; None where no batch has a style reference.
            time_law: how times are drawn.
            condition_dropout: probability of leaving references out.
            drop_mode: see `drop_conditions`.
            guidance: range from which the distilled guidance is drawn; UNO trains at 1.
        """
        super().__init__()
        self.transformer, self.projector = transformer, projector
        self.time_law, self.condition_dropout, self.drop_mode, self.guidance = (
            time_law,
            condition_dropout,
            drop_mode,
            guidance,
        )

    def forward(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """Return the loss of a batch; noise, times and dropout come from the generator."""
        rows, columns = token_grid(batch.latent)
        count = batch.latent.shape[0]
        t = sample_times(self.time_law, count, rows * columns, generator)
        noise = torch.randn(batch.latent.shape, generator=generator)
        low, high = self.guidance
        guidance = low + (high - low) * torch.rand(count, generator=generator)
        device = batch.latent.device
        sample = mix(batch.latent, noise.to(device), t.to(device))
        kept = drop_conditions(batch, self.condition_dropout, self.drop_mode, generator)
        conditioning = Conditioning(
            txt=kept.txt,
            vec=kept.vec,
            style=None if kept.style is None or self.projector is None else self.projector(kept.style),
            content=() if kept.content is None else (kept.content,),
            guidance=guidance.to(device),
        )
        predicted = velocity(self.transformer, conditioning)(sample.x_t, sample.t)
        return {"loss": F.mse_loss(predicted.float(), sample.target.float())}
