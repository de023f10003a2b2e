"""Train the networks of the miniature's autoencoder on random crops."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..model import MiniAutoencoder
from ..model.descriptor import MiniDescriptor
from ..model.networks import MiniVision

__all__ = ["AutoencoderObjective"]


class AutoencoderObjective(nn.Module):
    """Absolute error of the picture, of its edges, of its texture and of its tokens, with noise on the latent.

    - Noise stands for the errors of the flow model.
    - Edges have a weight of their own: without an adversarial loss they would be blurred.
    - Texture compares means and standard deviations of the style descriptor's feature maps (the style loss of Huang and
      Belongie 2017, eq. 13). 16 numbers for a block cannot place each stroke, but the decoder can draw strokes of the
      right kind instead of their mean grey.
    - Tokens compare the vision tower's features of each patch at the three style levels, normalised (a perceptual loss,
      Johnson et al. 2016, section 3.2). They place the kinds of strokes.
    """

    def __init__(
        self,
        autoencoder: MiniAutoencoder,
        latent_noise: float,
        edge_weight: float = 1.0,
        descriptor: MiniDescriptor | None = None,
        texture_weight: float = 0.0,
        vision: MiniVision | None = None,
        token_weight: float = 0.0,
    ):
        super().__init__()
        self.autoencoder = autoencoder
        self.latent_noise, self.edge_weight = latent_noise, edge_weight
        self.texture_weight, self.token_weight = texture_weight, token_weight
        self.descriptor = descriptor.requires_grad_(False) if descriptor is not None else None
        self.vision = vision.requires_grad_(False) if vision is not None else None

    def forward(self, x: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """Return the losses of pictures `b 3 h w` in -1..1."""
        latent = self.autoencoder.encode(x)
        strength = self.latent_noise * torch.rand((len(x), 1, 1, 1), generator=generator)
        y = self.autoencoder.decode(latent + strength * torch.randn(latent.shape, generator=generator))
        pixel = F.l1_loss(y, x)
        edge = F.l1_loss(y.diff(dim=-1), x.diff(dim=-1)) + F.l1_loss(y.diff(dim=-2), x.diff(dim=-2))
        # Whatever the encoder adds, latents should keep a standard deviation of about 1 for the flow model.
        size = (latent.square().mean() - 1).relu()
        losses = {"loss": pixel + self.edge_weight * edge + size, "pixel": pixel, "edge": edge, "size": size}
        if self.descriptor is not None:
            target = self.descriptor.statistics(x)
            spread = target.std(dim=0) + 1e-2  # so that every channel counts the same
            losses["texture"] = ((self.descriptor.statistics(y) - target) / spread).abs().mean()
            losses["loss"] = losses["loss"] + self.texture_weight * losses["texture"]
        if self.vision is not None:
            drawn, real = _normed(self.vision, y), _normed(self.vision, x)
            losses["tokens"] = torch.stack([F.l1_loss(a, b) for a, b in zip(drawn, real, strict=True)]).sum()
            losses["loss"] = losses["loss"] + self.token_weight * losses["tokens"]
        return losses


def _normed(vision: MiniVision, pictures: Tensor) -> list[Tensor]:
    features, _ = vision(pictures)
    return [F.layer_norm(level, level.shape[-1:]) for level in features]
