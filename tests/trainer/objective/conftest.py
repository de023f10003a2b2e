"""Samples, a toy decoder and a toy style descriptor for the losses."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from comfyui_uso.trainer.data.batch import Sample
from comfyui_uso.trainer.lora.adapters import add_lora
from comfyui_uso.uso_model.style import StyleFeatures
from comfyui_uso.uso_model.transformer import UsoTransformer
from torch import Tensor, nn


class Decoder(nn.Module):
    """Latents `b 16 h w` to pictures `b 3 8h 8w` by one frozen matrix."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(2)
        self.mix = nn.Parameter(torch.randn(3, 16, 1, 1, generator=generator) / 4, requires_grad=False)

    def forward(self, latents: Tensor) -> Tensor:
        return torch.tanh(F.interpolate(F.conv2d(latents, self.mix), scale_factor=8.0))


class Descriptor(nn.Module):
    """Pictures to the unit vector of their colours' mean and spread."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(6), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.normalize(torch.cat([x.mean(dim=(2, 3)), x.std(dim=(2, 3))], dim=1) * self.scale, dim=1)


@pytest.fixture
def decoder() -> Decoder:
    """Return a decoder."""
    return Decoder()


@pytest.fixture
def descriptor() -> Descriptor:
    """Return a descriptor."""
    return Descriptor()


@pytest.fixture
def sample() -> Callable[..., Sample]:
    """Return a function that makes a sample from a seed."""

    def make(seed: int = 0, style: bool = True, content: bool = True) -> Sample:
        generator = torch.Generator().manual_seed(seed)

        def normal(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=generator)

        return Sample(
            id=f"row{seed}",
            latent=normal(16, 4, 4),
            txt=normal(3, 8),
            vec=normal(8),
            styles=(StyleFeatures(normal(4, 6), normal(4, 6), normal(4, 6)),) if style else (),
            contents=(normal(16, 4, 6),) if content else (),
            descriptors={"csd": F.normalize(torch.tensor([0.6, 0.2, -0.4, 0.3, 0.3, 0.3]), dim=0)} if style else {},
        )

    return make


@pytest.fixture
def adapted(tiny_transformer: UsoTransformer) -> UsoTransformer:
    """Return a transformer with branches that have begun to learn."""
    add_lora(tiny_transformer, rank=8)
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for name, p in tiny_transformer.named_parameters():
            if "lora_B" in name:
                p.copy_(0.05 * torch.randn(p.shape, generator=generator))
    return tiny_transformer
