"""Schedules and the sampler, against ComfyUI's own nodes and the reference loop."""

from __future__ import annotations

from typing import Any

import comfy.sample
import comfy.samplers
import pytest
import torch
from comfy_extras.nodes_custom_sampler import BasicScheduler, SamplerCustom
from comfyui_uso.nodes.apply import Apply
from comfyui_uso.nodes.graph.conditioning import emptied, with_guidance
from comfyui_uso.nodes.sampler import Sampler
from comfyui_uso.nodes.scheduler import Scheduler
from comfyui_uso.nodes.sockets import Content
from comfyui_uso.nodes.style import ProjectStyle
from comfyui_uso.uso_model.schedule import flux_schedule, official_schedule, shifted_schedule


def sigmas(
    model: Any,
    schedule: str = "official",
    steps: int = 4,
    width: int = 1024,
    height: int = 1024,
    mu: float = 1.0,
    denoise: float = 1.0,
    latent: Any = None,
) -> torch.Tensor:
    return Scheduler.execute(model, steps, schedule, width, height, mu, denoise, latent).result[0]


def latent(batch: int = 1, channels: int = 16, size: tuple[int, int] = (8, 8), fill: float = 0.0) -> dict[str, Any]:
    return {"samples": torch.full((batch, channels, *size), fill)}


def test_schedules(base_model: Any) -> None:
    assert torch.equal(sigmas(base_model), official_schedule(4, 1024, 1024))
    assert torch.equal(sigmas(base_model, "flux", width=512, height=768), flux_schedule(4, 32 * 48))
    assert torch.equal(sigmas(base_model, "custom", mu=0.3), shifted_schedule(4, 0.3))
    assert torch.equal(sigmas(base_model, "flux", latent=latent(size=(64, 96))), flux_schedule(4, 32 * 48))


def test_less_denoise_is_the_end_of_a_longer_schedule(base_model: Any) -> None:
    assert torch.equal(sigmas(base_model, denoise=0.5), official_schedule(8, 1024, 1024)[-5:])
    assert sigmas(base_model, denoise=0.0).numel() == 0
    lengths = [len(BasicScheduler.execute(base_model, "simple", 4, d).result[0]) for d in (1.0, 0.7, 0.5, 0.3)]
    assert [len(sigmas(base_model, denoise=d)) for d in (1.0, 0.7, 0.5, 0.3)] == lengths


@pytest.mark.parametrize("cfg", [1.0, 3.0])
@pytest.mark.parametrize("denoise", [1.0, 0.6])
def test_equal_to_the_stock_sampler(cfg: float, denoise: float, base_model: Any, prompt: Any) -> None:
    start = latent(2, fill=0.0 if denoise == 1 else 0.3)
    levels = sigmas(base_model, steps=3, denoise=denoise, latent=start)
    expected = SamplerCustom.execute(
        base_model,
        True,
        11,
        cfg,
        with_guidance(prompt(), 4.0),
        with_guidance(prompt(4), 4.0),
        comfy.samplers.sampler_object("euler"),
        levels,
        start,
    ).result[0]["samples"]
    ours = Sampler.execute(base_model, prompt(), start, 11, 3, 4.0, cfg, "euler", "official", 1.15, denoise, prompt(4))
    assert torch.equal(ours.result[0]["samples"], expected)


def test_references_reach_the_sampler(base_model: Any, prompt: Any, features: Any, core_projector: Any) -> None:
    style = ProjectStyle.execute(features(2), core_projector).result[0]
    content = Content(latents=(torch.randn(1, 16, 4, 4, generator=torch.Generator().manual_seed(0)),))
    model, positive, _ = Apply.execute(base_model, prompt(), None, style, content).result
    run = [
        Sampler.execute(m, p, latent(2), 1, 2, 4.0, 2.0, "euler", "official", 1.15, 1.0).result[0]["samples"]
        for m, p in ((model, positive), (base_model, prompt()))
    ]
    assert not torch.allclose(*run, atol=1e-3)


def test_settings_matter_and_zero_denoise_does_nothing(base_model: Any, prompt: Any) -> None:
    def run(seed: int = 1, guidance: float = 4.0, schedule: str = "official", denoise: float = 1.0) -> torch.Tensor:
        return Sampler.execute(
            base_model, prompt(), latent(fill=0.2), seed, 2, guidance, 1.0, "euler", schedule, 1.15, denoise
        ).result[0]["samples"]

    assert torch.equal(run(), run())
    for other in (run(seed=2), run(guidance=1.0), run(schedule="flux"), run(schedule="custom")):
        assert not torch.equal(run(), other)
    assert torch.equal(run(denoise=0.0), latent(fill=0.2)["samples"])


def test_mask_protects_the_latent(base_model: Any, prompt: Any) -> None:
    mask = torch.zeros(1, 64, 64)
    mask[..., :32] = 1
    start = {**latent(fill=0.2), "noise_mask": mask, "batch_index": [0]}
    out = Sampler.execute(base_model, prompt(), start, 1, 2, 4.0, 1.0, "euler", "official", 1.15, 0.5).result[0]
    assert torch.allclose(out["samples"][..., 4:], start["samples"][..., 4:], atol=1e-5)
    assert not torch.allclose(out["samples"][..., :4], start["samples"][..., :4], atol=1e-3)
    assert out["noise_mask"] is mask


def test_empty_latent_of_another_model_is_repaired(base_model: Any, prompt: Any) -> None:
    start = {**latent(channels=4), "downscale_ratio_spacial": 8}
    out = Sampler.execute(base_model, prompt(), start, 1, 1, 4.0, 1.0, "euler", "official", 1.15, 1.0).result[0]
    assert out["samples"].shape == (1, 16, 8, 8) and "downscale_ratio_spacial" not in out


def test_progress_is_reported(base_model: Any, prompt: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(
        "comfy.utils.ProgressBar.update_absolute",
        lambda self, value, total=None, preview=None: seen.append((value, total)),
    )
    Sampler.execute(base_model, prompt(), latent(), 1, 3, 4.0, 1.0, "euler", "official", 1.15, 1.0)
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_emptied_keeps_only_zero_text(prompt: Any) -> None:
    text, values = emptied(prompt(uso_style=torch.ones(1, 2, 3)))[0]
    assert not text.any() and set(values) == {"pooled_output", "guidance"}
