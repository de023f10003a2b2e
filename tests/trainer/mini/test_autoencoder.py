"""The losses of the miniature's autoencoder."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from comfyui_uso.trainer.mini.autoencoder import AutoencoderObjective
from comfyui_uso.trainer.mini.train import AutoencoderRun
from comfyui_uso.uso_model import mini
from torch import Tensor, nn


class _Blur(nn.Module):
    """Eight by eight means as latent, and what is left of the picture between it and them."""

    def __init__(self, kept: float):
        super().__init__()
        self.kept = nn.Parameter(torch.tensor(kept))

    def encode(self, x: Tensor) -> Tensor:
        self.detail = x - F.interpolate(F.avg_pool2d(x, 8), scale_factor=8.0)
        return F.avg_pool2d(x, 8)

    def decode(self, latent: Tensor) -> Tensor:
        return F.interpolate(latent, scale_factor=8.0) + self.kept * self.detail


def test_texture_is_nothing_for_a_perfect_picture_and_grows_with_blur() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.rand((4, 3, 32, 32), generator=generator) * 2 - 1
    descriptor = mini.load_descriptor()
    found = []
    for kept in (1.0, 0.6, 0.2):
        objective = AutoencoderObjective(_Blur(kept), 0.0, descriptor=descriptor, texture_weight=2.0)
        losses = objective(x, generator)
        losses["loss"].backward()
        parts = losses["pixel"] + losses["edge"] + losses["size"] + 2.0 * losses["texture"]
        torch.testing.assert_close(losses["loss"], parts)
        assert all(p.grad is None for p in descriptor.parameters()), "the descriptor is looked through, not trained"
        found.append(losses["texture"].item())
    assert found[0] < 1e-6 < found[1] < found[2]


def test_without_a_descriptor_there_is_no_texture_loss() -> None:
    losses = AutoencoderObjective(_Blur(0.5), 0.0)(torch.rand(2, 3, 32, 32), torch.Generator())
    assert "texture" not in losses
    assert AutoencoderRun.model_fields["texture_weight"].default == 0
