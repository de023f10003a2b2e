"""When isolated references are computed: once for their LoRA, and never again for what does not change them."""

from __future__ import annotations

import copy
import gc
import weakref
from typing import Any

import comfy.hooks
import comfy.model_management
import comfy.sd
import pytest
import torch
from comfyui_uso.nodes.apply import Apply
from comfyui_uso.nodes.sampling.isolated.store import store_of

from .conftest import content
from .isolated import STEPS, drawn_by_comfyui, isolated_lora, stock_loaded


def noise(seed: int = 7, batch: int = 1, height: int = 8, width: int = 8) -> torch.Tensor:
    return torch.randn(batch, 16, height, width, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def passes(batches: list[int], prompt: Any, style: Any) -> Any:
    """Return a function that draws with a style and a subject, and returns how often references were computed."""

    def count(
        model: Any,
        seed: int = 3,
        guidance: float = 3.5,
        start: torch.Tensor | None = None,
        subject: int = 5,
        **dials: Any,
    ) -> int:
        batches.clear()
        text = prompt(seed, guidance=guidance)
        patched, *conds = Apply.execute(model, text, None, style, content((4, 4), seed=subject), **dials).result
        drawn_by_comfyui(patched, *conds, noise() if start is None else start)
        return len(batches) - STEPS

    return count


def test_they_are_computed_once(passes: Any, base_model: Any) -> None:
    model = stock_loaded(base_model)
    assert passes(model) == 1
    assert passes(model, seed=8) == 0
    assert passes(model, guidance=1.5) == 0
    assert passes(model, start=noise(9, 2, 6, 10)) == 0
    assert passes(model, style_strength=0.5, content_blocks="d0:0.5", style_form="fast") == 0
    assert passes(model.clone()) == 0


def test_what_changes_them_computes_them_anew(passes: Any, base_model: Any) -> None:
    model = stock_loaded(base_model)
    assert [passes(model), passes(stock_loaded(base_model, strength=0.7))] == [1, 1]
    model = stock_loaded(base_model)
    assert [passes(model, subject=n) for n in (5, 6, 5, 7, 5, 6)] == [1, 1, 0, 1, 0, 1], "the last two are kept"


def test_layers_that_are_wrapped_or_exchanged_compute_them_anew(passes: Any, base_model: Any) -> None:
    """ComfyUI's number of the patches stays the same then."""
    plain, model = isolated_lora(6, marked=False), stock_loaded(base_model)

    def bypassed(strength: float) -> Any:
        return comfy.sd.load_bypass_lora_for_models(model, None, plain, strength, 0.0)[0]

    whole, less, exchanged = bypassed(1.0), bypassed(0.2), model.clone()
    assert model.patches_uuid == whole.patches_uuid == less.patches_uuid
    assert [passes(one) for one in (whole, less, less.clone(), whole)] == [1, 1, 0, 0]
    layer = "diffusion_model.double_blocks.0.img_attn.norm"
    exchanged.add_object_patch(layer, copy.deepcopy(model.get_model_object(layer)))
    assert [passes(one) for one in (model, exchanged, exchanged.clone())] == [1, 1, 0]


@pytest.mark.parametrize(("count", "again"), [(3, 0), (9, 1)])
def test_all_that_a_sampling_reads_waits_for_the_next(
    count: int, again: int, base_model: Any, batches: list[int], prompt: Any
) -> None:
    """Such as a subject for each range or region; not without end."""
    model = stock_loaded(base_model)
    positive = []
    for number in range(count):
        patched, part, _ = Apply.execute(model, prompt(), None, None, content((4, 4), seed=number)).result
        positive += part
    found = []
    for _ in range(2):
        batches.clear()
        drawn_by_comfyui(patched, positive, [], noise(), steps=1)
        found.append(len(batches) - 1)
    assert found == [count, again]


def test_sides_and_rows_with_other_references(base_model: Any, batches: list[int], prompt: Any, style: Any) -> None:
    """Two sides with the same references share a set; every picture of a batch with one of its own has a pass."""
    model = stock_loaded(base_model)
    own = content((4, 4), frames=3)
    both = {"content_on_negative": True, "style_on": "both"}
    patched, *conds = Apply.execute(model, prompt(), prompt(4), style, own, **both).result
    start = torch.cat([noise(seed) for seed in (1, 2, 3)])
    together = drawn_by_comfyui(patched, *conds, start, 3.0)
    assert len(batches) == STEPS + 3
    for row in range(3):
        single = type(own)(latents=tuple(part[row : row + 1] for part in own.latents))
        patched, *conds = Apply.execute(model, prompt(), prompt(4), style, single, **both).result
        assert (drawn_by_comfyui(patched, *conds, start[row : row + 1], 3.0) - together[row]).abs().max() < 1e-4


def test_they_go_with_the_model(make_model: Any, prompt: Any, style: Any) -> None:
    model = make_model(depth=1, depth_single_blocks=1)
    patched, *conds = Apply.execute(stock_loaded(model, last_only()), prompt(), None, style).result
    drawn_by_comfyui(patched, *conds, noise(), steps=1)
    network = model.model.diffusion_model
    assert store_of(network).size > 0
    gone = weakref.ref(network)
    comfy.model_management.unload_all_models()
    del model, patched, network
    gc.collect()
    assert gone() is None


def last_only() -> dict[str, torch.Tensor]:
    """Return the LoRA's part for a network of one block of each kind."""
    return {key: part for key, part in isolated_lora().items() if "blocks.1" not in key}


def test_a_lora_of_a_hook_counts(base_model: Any, prompt: Any, style: Any) -> None:
    other = isolated_lora(6, marked=False)
    model = stock_loaded(base_model)
    both, *conds = Apply.execute(stock_loaded(model, other), prompt(), None, style).result
    expected = drawn_by_comfyui(both, *conds, noise())
    patched, positive, negative = Apply.execute(model, prompt(), None, style).result
    before = drawn_by_comfyui(patched, positive, negative, noise())
    hooked = comfy.hooks.set_hooks_for_conditioning(positive, comfy.hooks.create_hook_lora(other, 1.0, 0.0))
    assert (drawn_by_comfyui(patched, hooked, negative, noise()) - expected).abs().max() < 1e-4
    assert torch.equal(drawn_by_comfyui(patched, positive, negative, noise()), before)
