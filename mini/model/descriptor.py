"""USO-mini's style descriptor. The style reward uses it as it uses CSD for FLUX.1.

Style is described by statistics of feature maps that do not depend on position: mean and standard deviation of every
channel at three scales. Source: Huang and Belongie 2017, "Arbitrary Style Transfer in Real-time with Adaptive Instance
Normalization".
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["MiniDescriptor"]


class MiniDescriptor(nn.Module):
    """Pictures `b 3 h w` in -1..1 to unit style descriptors `b D`."""

    def __init__(self, width: int = 32, out: int = 128):
        super().__init__()
        widths = (width, 2 * width, 3 * width)
        self.stages = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(before, after, 5 if before == 3 else 3, stride=2, padding=2 if before == 3 else 1),
                nn.SiLU(),
                nn.Conv2d(after, after, 3, padding=1),
                nn.SiLU(),
            )
            for before, after in zip((3, *widths), widths, strict=False)
        )
        self.head = nn.Sequential(nn.Linear(2 * sum(widths), 256), nn.SiLU(), nn.Linear(256, out))

    def forward(self, pixels: Tensor) -> Tensor:
        """Return the descriptors."""
        return F.normalize(self.head(self.statistics(pixels)), dim=1)

    def statistics(self, pixels: Tensor) -> Tensor:
        """Return mean and deviation of every channel at the three scales, `b 384` at the default width."""
        found = []
        for stage in self.stages:
            pixels = stage(pixels)
            variance, mean = torch.var_mean(pixels, dim=(2, 3), correction=0)
            found += [mean, (variance + 1e-5).sqrt()]
        return torch.cat(found, dim=1)
