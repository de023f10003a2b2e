"""The autoencoder: scaling, sampling and sizes."""

from __future__ import annotations

import pytest
import torch
from comfyui_uso.uso_model.autoencoder import Autoencoder
from comfyui_uso.uso_model.config import AutoencoderConfig

CONFIG = AutoencoderConfig(
    in_channels=3,
    ch=32,
    out_ch=3,
    ch_mult=(1, 1),
    num_res_blocks=1,
    z_channels=4,
    scale_factor=0.25,
    shift_factor=2.0,
)


@pytest.fixture
def model() -> Autoencoder:
    torch.manual_seed(0)
    return Autoencoder(CONFIG).eval()


@torch.no_grad()
def test_mean_and_sample(model: Autoencoder) -> None:
    pixels = torch.rand(2, 3, 16, 24, generator=torch.Generator().manual_seed(1)) * 2 - 1
    mean, logvar = model.moments(pixels)
    assert mean.shape == logvar.shape == (2, 4, 8, 12)
    assert torch.equal(model.encode(pixels), 0.25 * (mean - 2.0))
    drawn = model.encode(pixels, generator=torch.Generator().manual_seed(5))
    noise = torch.randn(mean.shape, generator=torch.Generator().manual_seed(5))
    assert torch.allclose(drawn, 0.25 * (mean + (0.5 * logvar).exp() * noise - 2.0), atol=1e-6)
    assert torch.equal(drawn, model.encode(pixels, generator=torch.Generator().manual_seed(5)))


@torch.no_grad()
def test_decode_undoes_the_scale(model: Autoencoder) -> None:
    z = torch.randn(1, 4, 4, 4, generator=torch.Generator().manual_seed(2))
    assert torch.allclose(model.decode(model.scale(z)), model.decoder(z), atol=1e-5)
    assert model.decode(z).shape == (1, 3, 8, 8)
