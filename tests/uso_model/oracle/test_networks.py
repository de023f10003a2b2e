"""The same weights through diffusers give the same output."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from comfyui_uso.uso_model.autoencoder import Autoencoder
from comfyui_uso.uso_model.checkpoints.files import read_safetensors
from comfyui_uso.uso_model.checkpoints.flux import from_bfl
from comfyui_uso.uso_model.checkpoints.strict import load_strict
from comfyui_uso.uso_model.config import AutoencoderConfig, FluxConfig
from comfyui_uso.uso_model.positions import image_ids, text_ids
from comfyui_uso.uso_model.transformer import UsoTransformer


def autoencoder_shapes(config: AutoencoderConfig) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in Autoencoder(config).state_dict().items()}


@torch.no_grad()
def test_flux_equals_diffusers(oracle: SimpleNamespace, flux_shapes: Callable, random_weights: Callable) -> None:
    bfl = random_weights(flux_shapes(oracle.flux_config))
    ours = UsoTransformer(oracle.flux_config).eval()
    load_strict(ours, from_bfl(bfl), "weights")
    generator = torch.Generator().manual_seed(3)
    tokens, txt = torch.randn(1, 30, 32, generator=generator), torch.randn(1, 7, 40, generator=generator)
    vec = torch.randn(1, 24, generator=generator)
    got = ours(tokens, image_ids(5, 6), txt, text_ids(7), torch.tensor([0.7]), vec, guidance=torch.tensor([3.5]))
    expected = oracle.velocity(oracle.flux(bfl, oracle.flux_config), tokens, (5, 6), txt, vec, 0.7, 3.5, [], [])
    assert (got - expected).abs().max() <= 1e-4
    assert expected.std() > 0.1


@torch.no_grad()
def test_official_weights_equal_diffusers(oracle: SimpleNamespace, golden: Path) -> None:
    entries = json.loads((golden / "config.json").read_text())
    config = FluxConfig(
        **{k: tuple(v) if isinstance(v, list) else v for k, v in entries.items() if k not in ("lora_rank", "siglip")}
    )
    bfl = {name: tensor.float() for name, tensor in read_safetensors(golden / "flux_tiny.safetensors").items()}
    ours = UsoTransformer(config).eval()
    load_strict(ours, from_bfl(bfl), "weights")
    cases = read_safetensors(golden / "cases.safetensors")
    tokens, txt, vec = oracle.tokens(cases["noise"]), cases["txt"], cases["vec"]
    got = ours(tokens, image_ids(8, 12), txt, text_ids(24), torch.tensor([0.4]), vec, guidance=torch.tensor([4.0]))
    expected = oracle.velocity(oracle.flux(bfl, config), tokens, (8, 12), txt, vec, 0.4, 4.0, [], [])
    assert (got - expected).abs().max() <= 1e-4


@torch.no_grad()
@pytest.mark.parametrize("ch_mult", [(1, 2), (1, 1, 2)])
def test_autoencoder_equals_diffusers(
    oracle: SimpleNamespace, random_weights: Callable, ch_mult: tuple[int, ...]
) -> None:
    config = AutoencoderConfig(**{**vars(oracle.autoencoder_config), "ch_mult": ch_mult})
    bfl = random_weights(autoencoder_shapes(config))
    ours = Autoencoder(config).eval()
    load_strict(ours, bfl, "weights")
    theirs = oracle.autoencoder(bfl, config)
    pixels = torch.rand(1, 3, 24, 32, generator=torch.Generator().manual_seed(4)) * 2 - 1
    moments = torch.cat(ours.moments(pixels), dim=1)
    expected = theirs.encode(pixels).latent_dist.parameters
    assert (moments - expected).abs().max() <= 1e-4
    latent = torch.randn(1, 8, 6, 8, generator=torch.Generator().manual_seed(5))
    decoded = theirs.decode(latent / config.scale_factor + config.shift_factor).sample
    assert (ours.decode(latent) - decoded).abs().max() <= 1e-4
