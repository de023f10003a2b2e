"""A FLUX of five blocks wide enough to be streamed, its file, and a step on it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from comfyui_uso.trainer.lora.adapters import add_lora
from comfyui_uso.uso_model.checkpoints import save_transformer
from comfyui_uso.uso_model.config import FLUX_DEV
from comfyui_uso.uso_model.transformer import UsoTransformer
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

SIZES = replace(
    FLUX_DEV,
    vec_in_dim=8,
    context_in_dim=8,
    hidden_size=256,
    mlp_ratio=2.0,
    num_heads=2,
    depth=2,
    depth_single_blocks=3,
)


def inputs(isolated: bool = False) -> dict[str, Any]:
    """Return a small sequence, with references that see only themselves where that is asked for."""
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    plain = {
        "img": normal(2, 4, 64),
        "img_ids": torch.zeros(4, 3),
        "txt": normal(2, 3, 8),
        "txt_ids": torch.zeros(3, 3),
        "timesteps": torch.tensor([0.3, 0.8]),
        "y": normal(2, 8),
        "guidance": torch.ones(2),
    }
    if not isolated:
        return plain
    references = {"style": normal(2, 3, SIZES.hidden_size), "refs": [normal(2, 4, 64)], "ref_ids": [torch.ones(4, 3)]}
    return {**plain, **references, "isolated": True}


@pytest.fixture(scope="module")
def flux_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a random FLUX in float32."""
    torch.manual_seed(3)
    path = tmp_path_factory.mktemp("flux") / "flux.safetensors"
    save_transformer(path, UsoTransformer(SIZES), "fp32")
    return path


@pytest.fixture
def step() -> Callable[..., tuple[Tensor, dict[str, Tensor]]]:
    """Return a function that makes a forward and a backward pass and returns output and gradients."""

    def run(transformer: UsoTransformer, isolated: bool = False) -> tuple[Tensor, dict[str, Tensor]]:
        transformer.zero_grad()
        out = transformer(**inputs(isolated))
        out.float().square().mean().backward()
        grads = {name: p.grad.clone() for name, p in transformer.named_parameters() if p.grad is not None}
        return out.detach(), grads

    return run


def adapted(transformer: UsoTransformer) -> UsoTransformer:
    """Add branches that change the output, so that both of their factors get gradients."""
    add_lora(transformer, rank=4)
    generator = torch.Generator().manual_seed(9)
    with torch.no_grad():
        for name, p in transformer.named_parameters():
            if "lora_B" in name:
                p.copy_(0.1 * torch.randn(p.shape, generator=generator))
    return transformer


def peak(work: Callable[[], object]) -> int:
    """Return the most bytes that were allocated at a time."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        work()
    kineto = seen.profiler.kineto_results
    events = [event for event in kineto.events() if event.name() == "[memory]"]
    held = most = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        held += event.nbytes()
        most = max(most, held)
    return most
