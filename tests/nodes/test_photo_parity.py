"""Photos in, latents out: the nodes as they ship against the official code, run on the same photos and weights."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

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
from comfyui_uso.uso_model.style import StyleFeatures, style_layers
from PIL import Image
from safetensors.torch import load_file

from .conftest import host_vae
from .encoders import vision_model

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
    made = vision_model(SIGLIP)
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


@pytest.fixture
def drawn(
    golden: Path, official: Path, projector: Any, model: Any, vae: Any, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., torch.Tensor]:
    """Return a function that draws a case with features of its style photos, from the noise of the official run."""
    given = {name: part.float() for name, part in load_file(golden / "cases.safetensors").items()}
    monkeypatch.setattr(comfy.sample, "prepare_noise", lambda *_: given["noise"])

    def draw(case: str, features: Callable[[torch.Tensor], StyleFeatures]) -> torch.Tensor:
        styles, subjects = CASES[case]
        seen = [features(photo(official, name)) for name in styles]
        style, *more = [ProjectStyle.execute(levels, projector).result[0] for levels in seen]
        for other in more:
            style = MixStyles.execute("concat", style_1=style, style_2=other).result[0]
        patched, entries = model, [[given["txt"], {"pooled_output": given["vec"]}]]
        for name in subjects:
            subject = EncodeContent.execute(vae, photo(official, name), 512, 1024).result[0]
            patched, entries, _ = Apply.execute(patched, entries, content=subject).result
        patched, entries, _ = Apply.execute(patched, entries, style=style).result
        empty = {"samples": torch.zeros(1, 16, HEIGHT // 8, WIDTH // 8)}
        latent = Sampler.execute(patched, entries, empty, 0, STEPS, 4.0, 1.0, "euler", "official", 1.0, 1.0).result[0]
        return (latent["samples"] - FLUX_AE.shift_factor) * FLUX_AE.scale_factor

    return draw


def distance(official: Path, case: str, latent: torch.Tensor) -> float:
    """Return the largest error of a case's latent."""
    return (latent - load_file(official / "latents.safetensors")[case]).abs().max().item()


@pytest.mark.parametrize("case", CASES)
def test_latents_are_the_official_ones(case: str, official: Path, vision: Any, drawn: Any) -> None:
    latent = drawn(case, lambda image: EncodeStyle.execute(vision, image, "squash").result[0])
    assert distance(official, case, latent) <= TOLERANCE


@pytest.mark.parametrize("case", CASES)
def test_a_resize_in_floating_point_is_as_far_off_as_the_page_says(
    case: str, official: Path, vision: Any, drawn: Any
) -> None:
    """ComfyUI's own, which this pack had before; docs/parity.md has the size."""

    def features(image: torch.Tensor) -> StyleFeatures:
        states = vision.encode_image(image, crop=False).all_hidden_states
        return StyleFeatures(*(states[:, layer - 1] for layer in style_layers(states.shape[1])))

    assert 5e-4 < distance(official, case, drawn(case, features)) < 5e-3


def photo(folder: Path, name: str) -> torch.Tensor:
    """Return a photo as Load Image gives it."""
    pixels = np.asarray(Image.open(folder / f"{name}.png").convert("RGB")).astype(np.float32) / 255
    return torch.from_numpy(pixels)[None]
