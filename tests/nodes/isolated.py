"""Networks with an isolated LoRA in ComfyUI and in the reference code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import comfy.lora
import comfy.sample
import comfy.samplers
import comfy.utils
import torch
from comfyui_uso.uso_model.checkpoints.flux import from_bfl, strip_prefix
from comfyui_uso.uso_model.checkpoints.marks import ISOLATED, MARKER
from comfyui_uso.uso_model.config import FLUX_AE, FLUX_DEV
from comfyui_uso.uso_model.isolation import mark
from comfyui_uso.uso_model.sampling import Conditioning, euler, guided, velocity
from comfyui_uso.uso_model.transformer import UsoTransformer

from .conftest import HIDDEN

__all__ = ["ISOLATED", "STEPS", "drawn_by_comfyui", "drawn_by_us", "isolated_lora", "latent_in", "stock_loaded"]

STEPS = 3
SIZES = replace(
    FLUX_DEV,
    vec_in_dim=32,
    context_in_dim=48,
    hidden_size=HIDDEN,
    num_heads=HIDDEN // 16,
    depth=2,
    depth_single_blocks=2,
    axes_dim=(4, 6, 6),
)


def isolated_lora(seed: int = 1, marked: bool = True) -> dict[str, torch.Tensor]:
    """Return a small LoRA for ComfyUI's loaders, with the mark of isolated references."""
    generator = torch.Generator().manual_seed(seed)
    layers = {"double_blocks.0.img_attn.qkv": 3, "double_blocks.1.txt_attn.proj": 1, "single_blocks.0.linear1": 7}
    weights = {}
    for layer, rows in layers.items():
        for side, shape in {"lora_A": (2, HIDDEN), "lora_B": (rows * HIDDEN, 2)}.items():
            weights[f"diffusion_model.{layer}.{side}.weight"] = torch.randn(shape, generator=generator) * 0.2
    return weights | ({f"diffusion_model.{MARKER}": mark(64)} if marked else {})


def stock_loaded(model: Any, weights: dict[str, torch.Tensor] | None = None, strength: float = 1.0) -> Any:
    """Return a MODEL with a LoRA, as ComfyUI's own loaders put it there."""
    import comfy.sd

    return comfy.sd.load_lora_for_models(model, None, weights or isolated_lora(), strength, 0.0)[0]


def drawn_by_comfyui(
    model: Any, positive: Any, negative: Any, noise: torch.Tensor, cfg: float = 1.0, steps: int = STEPS
) -> torch.Tensor:
    """Return the latent that ComfyUI's sampler draws, in the network's scale."""
    latent = comfy.sample.sample_custom(
        model,
        noise,
        cfg,
        comfy.samplers.sampler_object("euler"),
        torch.linspace(1, 0, steps + 1),
        positive,
        negative,
        torch.zeros_like(noise),
        disable_pbar=True,
    )
    return latent_in(latent)


def drawn_by_us(
    fresh: Any, model: Any, sides: Sequence[Conditioning], noise: torch.Tensor, cfg: float = 1.0, steps: int = STEPS
) -> torch.Tensor:
    """Return the latent that the reference code draws with a MODEL's LoRAs on weights that none is on yet."""
    network = UsoTransformer(SIZES)
    weights = fresh.model.diffusion_model.state_dict()
    for key, patches in model.patches.items():
        name = key.removeprefix("diffusion_model.")
        weights[name] = comfy.lora.calculate_weight(patches, weights[name].clone(), key)
    network.load_state_dict(from_bfl(strip_prefix(weights)))
    positive, *negative = (velocity(network, side) for side in sides)
    return euler(guided(positive, *negative, cfg) if negative else positive, noise, torch.linspace(1, 0, steps + 1))


def latent_in(latent: torch.Tensor) -> torch.Tensor:
    """Return a latent as the network reads it."""
    return (latent - FLUX_AE.shift_factor) * FLUX_AE.scale_factor
