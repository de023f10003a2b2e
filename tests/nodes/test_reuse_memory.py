"""Memory of what is kept: as much as planned, said to ComfyUI before it loads, and in RAM where the card is short."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

import comfy.model_management
import pytest
import torch
from comfyui_uso.nodes.apply import Apply
from comfyui_uso.nodes.sampling.reuse import hooks, memory
from comfyui_uso.nodes.sampling.reuse.kept import Kept
from comfyui_uso.nodes.sampling.reuse.memory import Sizes, kept_bytes, most_tokens
from comfyui_uso.nodes.sampling.reuse.run import ReuseRun
from comfyui_uso.nodes.sampling.reuse.settings import ReuseSettings

from .conftest import content
from .reused import prepared, reusing, sampled, small

FLUX = {"width": 3072, "blocks": 57}
CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("styles", "contents", "depth", "gigabytes"),
    [(1, 1, 1, 0.85), (1, 1, 2, 1.70), (2, 3, 1, 2.42), (2, 3, 2, 4.84), (3, 3, 1, 2.56), (3, 3, 2, 5.11)],
)
def test_what_it_takes(styles: int, contents: int, depth: int, gigabytes: float) -> None:
    """192 tokens for a style picture, 1024 for a subject of 512 x 512."""
    found = kept_bytes(192 * styles + 1024 * contents, Sizes(**FLUX, depth=depth))
    assert found / 1e9 == pytest.approx(gigabytes, abs=0.005)


def test_entries_that_never_meet_share_room() -> None:
    def entry(start: float, end: float, tokens: int) -> dict[str, Any]:
        return {"start_percent": start, "end_percent": end, "uso_style": torch.zeros(1, tokens, 4)}

    assert most_tokens([entry(0, 0.5, 10), entry(0.5, 1, 12), entry(0.4, 0.45, 5), {}]) == 15
    assert most_tokens([]) == 0


@pytest.mark.parametrize("form", ["hold", "linear", "corrected"])
def test_comfyui_leaves_room_for_the_plan(
    form: str, base_model: Any, prompt: Any, style: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[float, float]] = []
    kept: list[int] = []
    load, put = comfy.model_management.load_models_gpu, Kept.put

    def note(*args: Any, memory_required: float, minimum_memory_required: float, **more: Any) -> None:
        asked.append((memory_required, minimum_memory_required))
        load(*args, memory_required=memory_required, minimum_memory_required=minimum_memory_required, **more)

    def note_put(self: Kept, *args: Any) -> None:
        put(self, *args)
        kept[:] = [max(kept[0], sum(t.nbytes for pairs in self._blocks.values() for pair in pairs for t in pair))]

    monkeypatch.setattr(comfy.model_management, "load_models_gpu", note)
    monkeypatch.setattr(Kept, "put", note_put)
    kept.append(0)
    model, positive, _ = Apply.execute(base_model, prompt(), None, small(style), content((4, 4))).result
    sampled(model, positive, batch=2)
    sampled(reusing(model, form=form), positive, batch=2)
    bare, ours = asked
    depth = 1 if form == "hold" else 2
    plan = kept_bytes(2 * (12 + 4), Sizes(width=64, blocks=4, itemsize=4, depth=depth))
    assert [more - less for more, less in zip(ours, bare, strict=True)] == pytest.approx([plan, plan])
    assert kept == [plan]


@pytest.mark.parametrize(("free", "in_ram"), [(0, True), (1e12, False)])
def test_a_short_card(
    free: float, in_ram: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Decided when the model is loaded."""
    run = ReuseRun(ReuseSettings(every=3), Sizes(64, 4), 1000, {})
    model = SimpleNamespace(load_device=torch.device("cuda"))
    monkeypatch.setattr(memory, "get_free_memory", lambda device: free)
    monkeypatch.setattr(memory, "minimum_inference_memory", lambda: 1)

    options = {"transformer_options": {"uso_kept": run}}
    with caplog.at_level(logging.INFO):
        _, conds, _ = hooks.reserve_memory(prepared, model, (1, 16, 8, 8), {"positive": []}, model_options=options)
    assert conds == {"positive": []}
    assert run.in_ram is in_ram
    assert ("in RAM" in caplog.text) is in_ram


def test_what_is_kept_has_the_dtype_of_the_network() -> None:
    kept = Kept(2, CPU)
    for time in (0.75, 0.5):
        pieces = [torch.full((1, 1, 1, 1), time, dtype=torch.bfloat16)]
        kept.put(("double", 0), pieces, pieces, time)
        kept.close(time, 0)
    assert {tensor.dtype for pair in kept._blocks["double", 0] for tensor in pair} == {torch.bfloat16}
    out = torch.empty(2, 1, 1, 1, 1, dtype=torch.bfloat16)
    kept.forecast(("double", 0), 0.25, slice(None), *out)
    assert out.flatten().tolist() == [0.25, 0.25]
