"""The node that docs/parity.md gives for official noise works in ComfyUI."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import comfy.samplers
import torch
from comfy_extras.nodes_custom_sampler import BasicGuider, SamplerCustomAdvanced
from comfyui_uso.nodes.apply import Apply
from comfyui_uso.nodes.graph.conditioning import with_guidance
from comfyui_uso.nodes.sampler import Sampler
from comfyui_uso.nodes.scheduler import Scheduler

from .conftest import content

PAGE = Path(__file__).parents[2] / "docs/parity.md"


def test_the_page_s_node_gives_official_noise(base_model: Any, prompt: Any, style: Any, monkeypatch: Any) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    module: dict[str, Any] = {}
    exec(code.replace('"cuda"', '"cpu"'), module)
    (node,) = module["NODE_CLASS_MAPPINGS"].values()
    assert node.INPUT_TYPES()["required"]["seed"][1]["default"] == 3407
    (noise,) = getattr(node(), node.FUNCTION)(3407)
    latent = {"samples": torch.zeros(1, 16, 8, 12)}
    generator = torch.Generator().manual_seed(3407)
    official = torch.randn(1, 16, 8, 12, dtype=torch.bfloat16, generator=generator).float()
    assert torch.equal(noise.generate_noise(latent), official)

    model, entries, _ = Apply.execute(base_model, prompt(), None, style, content((4, 4))).result
    sigmas = Scheduler.execute(model, 3, "official", 96, 64, 1.0, 1.0).result[0]
    guider = BasicGuider.execute(model, with_guidance(entries, 4.0)).result[0]
    sampler = comfy.samplers.sampler_object("euler")
    drawn = SamplerCustomAdvanced.execute(noise, guider, sampler, sigmas, latent).result[0]["samples"]
    monkeypatch.setattr("comfy.sample.prepare_noise", lambda *_: official)
    ours = Sampler.execute(model, entries, latent, 0, 3, 4.0, 1.0, "euler", "official", 1.0, 1.0).result[0]["samples"]
    assert torch.equal(drawn, ours)
