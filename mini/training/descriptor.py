"""Objective of USO-mini's style descriptor: pictures in one style lie close together, whatever they show.

The objective is InfoNCE over pairs in the same style (van den Oord et al. 2018, "Representation Learning with
Contrastive Predictive Coding", eq. 4), the contrastive part of CSD's training (Somepalli et al. 2024, section 4). The
pairs are target and style reference of training triplets, so the descriptor sees no held-out style.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..model import MiniDescriptor

__all__ = ["DescriptorObjective"]


class DescriptorObjective(nn.Module):
    """Each picture has to find the other one in its style in the batch, which includes photos of the contents."""

    def __init__(self, descriptor: MiniDescriptor):
        super().__init__()
        self.descriptor = descriptor
        self.log_scale = nn.Parameter(torch.tensor(10.0).log())

    def forward(self, batch: tuple[Tensor, Tensor, Tensor]) -> dict[str, Tensor]:
        """Return the loss, and how often the pair is found, for targets, style references and photos, each `b 3 h w`.

        A photo shows the same content as the target in another style, so content is a wrong answer.
        """
        target, reference, photo = (self.descriptor(pixels) for pixels in batch)
        logits = self.log_scale.exp() * target @ torch.cat([reference, photo]).T
        right = torch.arange(len(target))
        back = self.log_scale.exp() * reference @ torch.cat([target, photo]).T
        loss = (F.cross_entropy(logits, right) + F.cross_entropy(back, right)) / 2
        return {"loss": loss, "found": (logits.argmax(dim=1) == right).float().mean()}
