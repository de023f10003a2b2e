"""Wrong inputs: one sentence each, with what came, what was expected and what to do."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import comfy.model_base
import comfy.supported_models
import pytest
import torch
from comfyui_uso.nodes.apply import Apply
from comfyui_uso.nodes.content import EncodeContent
from comfyui_uso.nodes.sampler import Sampler
from comfyui_uso.nodes.scheduler import Scheduler
from comfyui_uso.nodes.sockets import Content, Style
from comfyui_uso.nodes.style import EncodeStyle, ProjectStyle
from comfyui_uso.uso_model.style import StyleFeatures

from .encoders import vision_model

VISION = {
    "num_channels": 3,
    "hidden_act": "quick_gelu",
    "hidden_size": 32,
    "image_size": 28,
    "intermediate_size": 32,
    "num_attention_heads": 2,
    "num_hidden_layers": 6,
    "patch_size": 14,
    "projection_dim": 16,
}
IMAGE = torch.zeros(1, 32, 32, 3)


def refused(*parts: str) -> Any:
    """Expect one sentence that names all parts."""
    pattern = r"(?s)\A" + "".join(f"(?=.*(?:{part}))" for part in parts) + r"[^\n]+\.\Z"
    return pytest.raises(ValueError, match=pattern)


def encoder(kind: str) -> Any:
    extra = {"num_patches": 4} if kind == "siglip2_vision_model" else {}
    return vision_model({**VISION, "model_type": kind, **extra})


def fake(kind: Any, **params: Any) -> Any:
    """Return a MODEL of another family without building its network."""
    base = kind.__new__(kind)
    torch.nn.Module.__init__(base)
    object.__setattr__(base, "diffusion_model", SimpleNamespace(params=SimpleNamespace(hidden_size=64, **params)))
    return SimpleNamespace(model=base)


@pytest.mark.parametrize("kind", ["clip_vision_model", "siglip2_vision_model"])
def test_vision_model_of_another_family(kind: str) -> None:
    with refused(
        "CLIP vision|SigLIP 2",
        "28 px",
        "expected SigLIP",
        "sigclip_vision_patch14_384.safetensors",
        "models/clip_vision",
    ):
        EncodeStyle.execute(encoder(kind), IMAGE, "squash")


@pytest.mark.parametrize(("tokens", "width"), [(1024, 1152), (729, 768)])
def test_siglip_of_another_size(tokens: int, width: int, core_projector: Any) -> None:
    with refused(f"{tokens} tokens x {width}", "729 x 1152", "sigclip_vision_patch14_384.safetensors"):
        ProjectStyle.execute(StyleFeatures(*(torch.zeros(1, tokens, width),) * 3), core_projector)


@pytest.mark.parametrize("patch", [SimpleNamespace(model=torch.nn.Linear(2, 2)), SimpleNamespace()])
def test_patch_without_a_projector(patch: Any, features: Any) -> None:
    with refused("Linear|NoneType", "style projector", "uso-flux1-projector-v1.safetensors", "models/model_patches"):
        ProjectStyle.execute(features(2), patch)


@pytest.mark.parametrize(
    ("image", "parts"),
    [
        (torch.zeros(1, 32, 32, 2), ("2 channels", "RGB", "alpha", "grey")),
        (torch.zeros(1, 1, 1, 3), ("1x1 pixels", "16 pixels")),
        (torch.zeros(0, 32, 32, 3), ("empty batch", "Load Image")),
    ],
)
def test_pictures(image: torch.Tensor, parts: tuple[str, ...]) -> None:
    with refused("style", *parts):
        EncodeStyle.execute(encoder("siglip_vision_model"), image, "squash")
    with refused("content", *parts):
        EncodeContent.execute(SimpleNamespace(), image, 512, 1024)


def test_masks_that_do_not_match() -> None:
    with refused("3 masks", "1 style"):
        EncodeStyle.execute(encoder("siglip_vision_model"), IMAGE, "squash", torch.ones(3, 32, 32))


def test_content_too_narrow() -> None:
    with pytest.raises(ValueError, match=r"400x2.*long side"):
        EncodeContent.execute(SimpleNamespace(encode=None), torch.zeros(1, 2, 400, 3), 512, 1024)


def test_vae_of_another_model() -> None:
    vae = SimpleNamespace(encode=lambda pixels: torch.zeros(1, 4, 8, 8))
    with refused("4 channels", "16", "ae.safetensors", "models/vae"):
        EncodeContent.execute(vae, IMAGE, 64, 1024)


@pytest.mark.parametrize(
    ("kind", "params"),
    [
        ("Flux2", {"axes_dim": [32] * 4, "vec_in_dim": None}),
        ("Chroma", {"axes_dim": [16, 56, 56], "vec_in_dim": None}),
        ("LongCatImage", {"axes_dim": [16, 56, 56], "vec_in_dim": None}),
        ("SDXL", {}),
        ("QwenImage", {}),
        ("Flux", {"axes_dim": [16, 56, 56], "vec_in_dim": None}),
    ],
)
def test_other_models(kind: str, params: dict[str, Any], prompt: Any) -> None:
    model = fake(getattr(comfy.model_base, kind), **params)
    style = Style(tokens=torch.zeros(1, 192, 64), counts=(192,))
    with refused(kind, "FLUX.1", "flux1-dev.safetensors", "models/diffusion_models"):
        Apply.execute(model, prompt(), None, style)
    with refused(kind):
        Scheduler.execute(model, 4, "flux", 64, 64, 1.0, 1.0)
    with refused(kind):
        Sampler.execute(
            model, prompt(), {"samples": torch.zeros(1, 16, 8, 8)}, 0, 1, 4.0, 1.0, "euler", "flux", 1.0, 1.0
        )


def test_projector_of_another_width(base_model: Any, prompt: Any) -> None:
    with refused("width 3072", "width 64", "uso-flux1-projector-v1.safetensors"):
        Apply.execute(base_model, prompt(), None, Style(tokens=torch.zeros(1, 192, 3072), counts=(192,)))


def test_latents_of_another_model(base_model: Any, prompt: Any) -> None:
    with refused("content", "4 channels", "expected 16"):
        Apply.execute(base_model, prompt(), None, content=Content(latents=(torch.ones(1, 4, 8, 8),)))
    for samples, parts in (
        (torch.ones(1, 4, 8, 8), ("4 channels", "16")),
        (torch.ones(0, 16, 8, 8), ("empty LATENT",)),
    ):
        with refused(*parts):
            Sampler.execute(base_model, prompt(), {"samples": samples}, 0, 1, 4.0, 1.0, "euler", "flux", 1.0, 1.0)


def test_counts_cover_the_tokens() -> None:
    with pytest.raises(ValueError, match="tokens of shape"):
        Style(tokens=torch.zeros(1, 10, 4), counts=(4, 4))
