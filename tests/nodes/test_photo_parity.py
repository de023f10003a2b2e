"""Photos in, latents out: the nodes as they ship against the official code, run on the same photos and weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import comfy.clip_vision
import comfy.sample
import comfy.sd
import numpy as np
import pytest
import torch
from comfyui_uso.nodes.apply import Apply
from comfyui_uso.nodes.content import EncodeContent
from comfyui_uso.nodes.graph.lora import with_lora
from comfyui_uso.nodes.graph.projector_patch import projector_patch
from comfyui_uso.nodes.mix_styles import MixStyles
from comfyui_uso.nodes.sampler import Sampler
from comfyui_uso.nodes.style import EncodeStyle, ProjectStyle
from comfyui_uso.uso_model.config import FLUX_AE
from comfyui_uso.uso_model.projector import HierarchicalProjector
from PIL import Image
from safetensors.torch import load_file

from .conftest import host_vae

TOLERANCE = 1e-4
STEPS, WIDTH, HEIGHT = 4, 192, 128
CASES = {
    "style": (["cat"], []),
    "tall_style": (["astronaut"], []),
    "joint": (["cat"], ["astronaut"]),
    "two_styles_joint": (["cat", "astronaut"], ["cat"]),
}
"""Style photos and subject photos."""

SIGLIP = {
    "num_channels": 3,
    "hidden_act": "gelu_pytorch_tanh",
    "hidden_size": 24,
    "image_size": 384,
    "intermediate_size": 32,
    "model_type": "siglip_vision_model",
    "num_attention_heads": 2,
    "num_hidden_layers": 27,
    "patch_size": 14,
    "image_mean": [0.5] * 3,
    "image_std": [0.5] * 3,
}


def drawn_weights(shapes: dict[str, torch.Size], seed: int) -> dict[str, torch.Tensor]:
    """Return the weights that the official networks had, which are too many to keep in a file."""
    source, weights = np.random.default_rng(seed), {}
    for name in sorted(shapes):
        values = torch.from_numpy(source.random(tuple(shapes[name])) * 2 - 1).float()
        if name.endswith("weight"):
            values = values * (3 / values[0].numel()) ** 0.5 if values.ndim > 1 else 1 + 0.1 * values
        else:
            values = 0.1 * values
        weights[name] = values.half().float()  # ComfyUI keeps SigLIP in float16, also on the CPU
    return weights


@pytest.fixture(scope="module")
def vision() -> Any:
    made = comfy.clip_vision.ClipVisionModel(SIGLIP)
    prefix = "vision_model."
    shapes = {name.removeprefix(prefix): part.shape for name, part in made.model.state_dict().items()}
    made.load_sd({prefix + name: part for name, part in drawn_weights(shapes, 1).items()})
    return made


@pytest.fixture(scope="module")
def projector() -> Any:
    shapes = {name: part.shape for name, part in HierarchicalProjector(729, 64, 24, 128).state_dict().items()}
    return projector_patch({f"feature_embedder.{k}": v for k, v in drawn_weights(shapes, 2).items()}, "the photos'")


@pytest.fixture(scope="module")
def model(golden: Path) -> Any:
    weights = {name: part.float() for name, part in load_file(golden / "flux_tiny.safetensors").items()}
    flux = comfy.sd.load_diffusion_model_state_dict(weights, {"dtype": torch.float32})
    lora = {name: part.float() for name, part in load_file(golden / "dit_lora.safetensors").items()}
    return with_lora(flux, lora, 1.0, "golden")


@pytest.fixture(scope="module")
def vae(golden: Path) -> Any:
    config = json.loads((golden / "ae_config.json").read_text(encoding="utf-8"))
    return host_vae(config, {name: part.float() for name, part in load_file(golden / "ae_tiny.safetensors").items()})


@pytest.mark.parametrize("case", CASES)
def test_latents_are_the_official_ones(
    case: str,
    golden: Path,
    official: Path,
    vision: Any,
    projector: Any,
    model: Any,
    vae: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given = {name: part.float() for name, part in load_file(golden / "cases.safetensors").items()}
    styles, subjects = CASES[case]
    seen = [EncodeStyle.execute(vision, photo(official, name), "squash").result[0] for name in styles]
    made = [ProjectStyle.execute(features, projector).result[0] for features in seen]
    style = made[0]
    if len(made) > 1:
        style = MixStyles.execute("concat", style_1=made[0], style_2=made[1]).result[0]
    patched, entries = model, [[given["txt"], {"pooled_output": given["vec"]}]]
    for name in subjects:
        subject = EncodeContent.execute(vae, photo(official, name), 512, 1024).result[0]
        patched, entries, _ = Apply.execute(patched, entries, content=subject).result
    patched, entries, _ = Apply.execute(patched, entries, style=style).result
    monkeypatch.setattr(comfy.sample, "prepare_noise", lambda *_: given["noise"])
    empty = {"samples": torch.zeros(1, 16, HEIGHT // 8, WIDTH // 8)}
    latent = Sampler.execute(patched, entries, empty, 0, STEPS, 4.0, 1.0, "euler", "official", 1.0, 1.0).result[0]
    ours = (latent["samples"] - FLUX_AE.shift_factor) * FLUX_AE.scale_factor
    assert (ours - load_file(official / "latents.safetensors")[case]).abs().max() <= TOLERANCE


def photo(folder: Path, name: str) -> torch.Tensor:
    """Return a photo as Load Image gives it."""
    pixels = np.asarray(Image.open(folder / f"{name}.png").convert("RGB")).astype(np.float32) / 255
    return torch.from_numpy(pixels)[None]
