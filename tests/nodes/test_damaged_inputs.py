"""Empty, torn and poisoned pictures, masks, latents and styles: one sentence each, before they cost anything."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from comfyui_uso.nodes.apply import Apply
from comfyui_uso.nodes.content import EncodeContent
from comfyui_uso.nodes.sampler import Sampler
from comfyui_uso.nodes.scheduler import Scheduler
from comfyui_uso.nodes.sockets import Style
from comfyui_uso.nodes.style import EncodeStyle, ProjectStyle, of_levels
from comfyui_uso.nodes.style_files import SaveStyle
from comfyui_uso.uso_model.errors import UserError
from comfyui_uso.uso_model.style import StyleFeatures

from .test_errors import encoder, refused

NAN, INF = torch.tensor(float("nan")), torch.tensor(float("inf"))
IMAGE = torch.zeros(1, 32, 32, 3)
EMPTY_MASKS = {
    "no mask": torch.zeros(0, 8, 8),
    "no width": torch.zeros(1, 8, 0),
    "no height": torch.zeros(1, 0, 8),
    "no picture": torch.zeros(0),
}
POISON = {"nan": NAN, "infinite": INF}


@pytest.mark.parametrize("poison", POISON)
def test_pictures(poison: str, style: Style) -> None:
    image = IMAGE.clone()
    image[0, 3, 4, 1] = POISON[poison]
    with refused("style", "NaN or infinite"):
        EncodeStyle.execute(encoder("siglip_vision_model"), image, "squash")
    with refused("content", "NaN or infinite"):
        EncodeContent.execute(SimpleNamespace(), image, 512, 1024)
    with refused("thumbnail", "NaN or infinite"):
        SaveStyle.execute(style, "poisoned", False, image)


@pytest.mark.parametrize("name", EMPTY_MASKS)
@pytest.mark.parametrize("role", ["style", "content"])
def test_empty_masks(name: str, role: str, base_model: Any, prompt: Any, style: Style) -> None:
    mask = EMPTY_MASKS[name]
    with refused("empty mask", f"{role}_region"):
        Apply.execute(base_model, prompt(), None, style, **{f"{role}_region": mask})
    with refused("empty mask", "style"):
        EncodeStyle.execute(encoder("siglip_vision_model"), IMAGE, "squash", mask)
    with refused("empty mask", "content"):
        EncodeContent.execute(SimpleNamespace(), IMAGE, 512, 1024, mask)


@pytest.mark.parametrize("poison", POISON)
def test_poisoned_masks(poison: str, base_model: Any, prompt: Any, style: Style) -> None:
    mask = torch.ones(1, 8, 8).index_fill(2, torch.tensor([3]), float(POISON[poison]))
    with refused("style_region", "NaN or infinite"):
        Apply.execute(base_model, prompt(), None, style, style_region=mask)
    with refused("style", "NaN or infinite"):
        EncodeStyle.execute(encoder("siglip_vision_model"), IMAGE, "squash", mask)


@pytest.mark.parametrize("shape", [(8, 8), (1, 8, 8), (1, 1, 8, 8)])
def test_masks_with_other_axes_are_taken(shape: tuple[int, ...], drawn: Any) -> None:
    assert torch.equal(drawn(style_region=torch.ones(shape)), drawn(style_region=torch.ones(1, 8, 8)))


@pytest.mark.parametrize("poison", POISON)
def test_latents(poison: str, base_model: Any, prompt: Any) -> None:
    samples = torch.zeros(1, 16, 8, 8)
    samples[0, 1, 2, 3] = POISON[poison]
    mask = torch.full((1, 64, 64), float(POISON[poison]))
    for latent in ({"samples": samples}, {"samples": torch.zeros(1, 16, 8, 8), "noise_mask": mask}):
        with refused("LATENT", "NaN or infinite"):
            Sampler.execute(base_model, prompt(), latent, 0, 1, 4.0, 1.0, "euler", "flux", 1.0, 1.0)
        with refused("LATENT", "NaN or infinite"):
            Scheduler.execute(base_model, 4, "flux", 64, 64, 1.0, 1.0, latent)


@pytest.mark.parametrize("poison", POISON)
def test_a_vae_that_overflows_is_named(poison: str) -> None:
    vae = SimpleNamespace(encode=lambda pixels: torch.full((1, 16, 8, 8), float(POISON[poison])))
    with refused("from the VAE", "NaN or infinite", "fp32-vae"):
        EncodeContent.execute(vae, IMAGE, 64, 1024)


@pytest.mark.parametrize("level", ["high", "mid", "low"])
def test_features(level: str, features: Any, core_projector: Any) -> None:
    poisoned = features(2)._replace(**{level: torch.full((1, 729, 1152), float("nan"))})
    with refused("style features", "NaN or infinite", "vision model"):
        ProjectStyle.execute(StyleFeatures(*poisoned), core_projector)


def test_styles_hold_numbers() -> None:
    with refused("style", "NaN or infinite"):
        Style(tokens=torch.full((1, 4, 8), float("nan")), counts=(4,))
    with refused("style", "NaN or infinite"):
        Style(tokens=torch.zeros(1, 4, 8), counts=(4,), bias=torch.tensor([0, float("inf"), 0, 0]))


@pytest.mark.parametrize(
    ("thumbnail", "parts"),
    [
        (torch.zeros(0, 8, 8, 3), ("empty batch",)),
        (torch.zeros(8, 8, 3), ("4 dimensions",)),
        (torch.zeros(1, 8, 8, 2), ("2 channels",)),
        (torch.zeros(1, 8, 8, 9), ("9 channels",)),
        (torch.zeros(1, 8, 0, 3), ("0x8 pixels",)),
        (torch.zeros(1, 0, 8, 3), ("8x0 pixels",)),
    ],
)
def test_thumbnails(thumbnail: torch.Tensor, parts: tuple[str, ...], style: Style) -> None:
    with refused("thumbnail image", *parts):
        SaveStyle.execute(style, "odd", False, thumbnail)


@pytest.mark.parametrize(("per_level", "parts"), [(6, 8), (6, 4), (1, 2), (64, 7)])
def test_tokens_that_cannot_be_parted(per_level: int, parts: int) -> None:
    with pytest.raises(UserError, match=f"1/{parts} of {per_level} tokens.*set tokens_per_level to all"):
        of_levels(torch.ones(1, 3 * per_level, 4), per_level, [1, 1, 1], parts)
