"""The nodes and `uso_model`'s own sampler give the same latent from the same weights and the same noise."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from comfyui_uso.uso_model.checkpoints import load_transformer, merge_lora, read_lora
from comfyui_uso.uso_model.sampling import Conditioning, euler, velocity
from comfyui_uso.uso_model.schedule import flux_schedule, official_schedule, shifted_schedule
from torch import Tensor

from .graphs import PIXELS, Tiny
from .server import ComfyServer
from .weights import POOLED, TEXT

TOLERANCE = 1e-4
SCALE, SHIFT = 0.3611, 0.1159
"""FLUX.1's autoencoder: model latent = (latent - shift) * scale."""

GUIDANCE, SEED = 4.0, 21


@pytest.fixture(autouse=True)
def _no_grad() -> Iterator[None]:
    with torch.inference_mode():
        yield


def text(seed: int, tokens: int) -> tuple[Tensor, Tensor]:
    """Return what the TestPrompt node makes."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(1, tokens, TEXT, generator=generator), torch.randn(1, POOLED, generator=generator)


@pytest.mark.parametrize(
    ("schedule", "times"),
    [
        ("official", official_schedule(4, PIXELS, PIXELS)),
        ("flux", flux_schedule(4, (PIXELS // 16) ** 2)),
        ("custom", shifted_schedule(4, 0.8)),
    ],
)
@pytest.mark.parametrize(("styles", "contents", "batch"), [(0, 0, 1), (1, 0, 1), (0, 1, 1), (1, 1, 2), (2, 2, 1)])
def test_latents(
    comfy: ComfyServer,
    tiny: Tiny,
    schedule: str,
    times: Tensor,
    styles: int,
    contents: int,
    batch: int,
) -> None:
    style = tiny.style(tiny.picture(50, batch=styles)) if styles else None
    content = tiny.content(tiny.picture(51, 96, 60, batch=contents)) if contents else None
    node = tiny.apply(tiny.lora(tiny.model()), tiny.prompt(6, 12), style=style, content=content)
    sampled = tiny.add(
        "USO_Sampler",
        model=node[0],
        positive=node[1],
        latent=tiny.empty(batch),
        seed=SEED,
        steps=4,
        guidance=GUIDANCE,
        cfg=1.0,
        sampler_name="euler",
        schedule=schedule,
        mu=0.8,
        denoise=1.0,
    )
    saved = tiny.save(sampled[0])
    dump = tiny.add("TestSaveReferences", style=style, content=content) if styles or contents else None
    run = comfy.run(tiny)
    references = run.tensors(dump) if dump else {}

    models = comfy.base / "models"
    model = load_transformer(models / "diffusion_models/tiny-flux.safetensors", torch.float32)
    merge_lora(model, read_lora(models / "loras/tiny-style-lora.safetensors"))
    txt, vec = text(6, 12)
    given = Conditioning(
        txt=txt.expand(batch, -1, -1),
        vec=vec.expand(batch, -1),
        style=references["style"].expand(batch, -1, -1) if styles else None,
        content=[((references[f"content{n}"] - SHIFT) * SCALE).expand(batch, -1, -1, -1) for n in range(contents)],
        guidance=GUIDANCE,
    )
    noise = torch.randn(batch, 16, PIXELS // 8, PIXELS // 8, generator=torch.manual_seed(SEED))
    expected = euler(velocity(model, given), noise, times) / SCALE + SHIFT
    assert (run.latent(saved) - expected).abs().max() <= TOLERANCE
