"""Memory of isolated references: said to ComfyUI before it loads, in RAM where the card is short, and between runs."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import comfy.model_management
import pytest
import torch
from comfyui_uso.nodes.apply import Apply
from comfyui_uso.nodes.sampling.isolated.hooks import reserve_room
from comfyui_uso.nodes.sampling.isolated.run import IsolatedRun
from comfyui_uso.nodes.sampling.isolated.store import store_of
from comfyui_uso.nodes.sampling.reuse import memory

from .conftest import content
from .isolated import drawn_by_comfyui, stock_loaded
from .reused import prepared, small


def test_what_is_asked_for_is_what_is_kept(
    make_model: Any, prompt: Any, style: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    load = comfy.model_management.load_models_gpu

    def note(models: Any, memory_required: int = 0, **more: Any) -> Any:
        asked.append(memory_required)
        return load(models, memory_required=memory_required, **more)

    monkeypatch.setattr(comfy.model_management, "load_models_gpu", note)
    model = make_model()
    references = small(style), content((4, 4), (4, 6))
    for loaded in (model, stock_loaded(model)):
        patched, *conds = Apply.execute(loaded, prompt(), prompt(4), *references, style_on="both").result
        drawn_by_comfyui(patched, *conds, torch.zeros(2, 16, 8, 8), 3.0, steps=1)
    # Both sides have the style, one of them the subject: two sets.
    tokens = 2 * 12 + 4 + 6
    plan = memory.kept_bytes(tokens, memory.Sizes(width=64, blocks=4, itemsize=4))
    assert asked[1] - asked[0] == plan == store_of(model.model.diffusion_model).size


@pytest.mark.parametrize("free", [0, 1e12])
def test_a_short_card(free: float, monkeypatch: pytest.MonkeyPatch) -> None:
    run = IsolatedRun("weights", memory.Sizes(64, 4), 1000)
    model = SimpleNamespace(load_device=torch.device("cuda"))
    monkeypatch.setattr(memory, "get_free_memory", lambda device: free)
    monkeypatch.setattr(memory, "minimum_inference_memory", lambda: 1)

    options = {"transformer_options": {"uso_isolated": run}}
    _, conds, _ = reserve_room(prepared, model, (1, 16, 8, 8), {"positive": []}, model_options=options)
    assert conds == {"positive": []} and run.in_ram is (free == 0)
