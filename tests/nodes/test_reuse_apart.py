"""What is kept in one place is never read in another: tiles, schedules of LoRAs, runs, and runs that broke off."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from typing import Any

import comfy.hooks
import comfy.sample
import comfy.samplers
import pytest
import torch
from comfyui_uso.nodes.apply import Apply
from comfyui_uso.nodes.graph.dials import Place

import nodes as comfy_nodes

from .conftest import content
from .reused import counting, held, longest_steps, reusing, sampled, small

Corner = tuple[int, int]


def tiled(model: Any, corners: Callable[[int], Iterator[Corner]], side: int = 4) -> Any:
    """Return a MODEL that draws its latent in tiles, as packs do it, in the order in which they are given."""
    calls = 0

    def draw(apply: Any, args: dict[str, Any]) -> torch.Tensor:
        nonlocal calls
        x, out = args["input"], torch.zeros_like(args["input"])
        for top, left in corners(calls):
            place = (..., slice(top, top + side), slice(left, left + side))
            out[place] = apply(x[place], args["timestep"], **args["c"])
        calls += 1
        return out

    patched = model.clone()
    patched.set_model_unet_function_wrapper(draw)
    return patched


def in_order(step: int) -> list[Corner]:
    return [(top, left) for top in (0, 4) for left in (0, 4)]


def in_turn(step: int) -> list[Corner]:
    """Begin somewhere else in every step."""
    corners = in_order(step)
    return corners[step % 4 :] + corners[: step % 4]


def moving(step: int) -> list[Corner]:
    """Cover the picture's middle from another corner in every step."""
    return [(step % 4, step % 3)]


@pytest.fixture
def referenced(base_model: Any, prompt: Any, style: Any) -> Any:
    """Return MODEL and positive with a style and a subject."""
    return Apply.execute(base_model, prompt(), None, small(style), content((4, 4))).result[:2]


def test_tiles(referenced: Any) -> None:
    model, positive = referenced
    oracle = sampled(tiled(held(model), in_order), positive)
    for order in (in_order, in_turn):
        assert (sampled(tiled(reusing(model), order), positive) - oracle).abs().max() < 2e-5


def test_tiles_that_move_are_computed(referenced: Any) -> None:
    model, positive = referenced
    exact = sampled(tiled(model, moving), positive)
    assert torch.equal(sampled(tiled(reusing(model, every=100), moving), positive), exact)


def test_tiles_without_room_are_computed(
    referenced: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The plan is for the whole latent at once: one tile."""
    model, positive = referenced
    lengths: list[tuple[int, int]] = []
    monkeypatch.setattr("comfyui_uso.nodes.sampling.reuse.run.get_free_memory", lambda device: 0)
    with caplog.at_level("INFO"):
        sampled(tiled(reusing(counting(model, lengths)), in_order), positive)
    assert "for tiles or for a guidance of its own" in caplog.text
    in_step = [sum(length == max(n for _, n in lengths) for s, length in lengths if s == step) for step in range(6)]
    assert in_step == [16, 16, 12, 12, 16, 12]  # four tiles through four blocks


def test_a_call_of_single_rows(referenced: Any) -> None:
    """A pack that splits the batch: rows are places, too."""
    model, positive = referenced

    def one_by_one(apply: Any, args: dict[str, Any]) -> torch.Tensor:
        c = args["c"]
        parts = []
        for row in (0, 1):
            mine = {k: v[row : row + 1] if isinstance(v, torch.Tensor) and len(v) == 2 else v for k, v in c.items()}
            mine["ref_latents"] = [part[row : row + 1] for part in c["ref_latents"]]
            parts.append(apply(args["input"][row : row + 1], args["timestep"][row : row + 1], **mine))
        return torch.cat(parts)

    split = reusing(model)
    split.set_model_unet_function_wrapper(one_by_one)
    whole = sampled(reusing(model), positive, batch=2)
    assert (sampled(split, positive, batch=2) - whole).abs().max() < 2e-5


@pytest.mark.parametrize(("place", "computed"), [(Place("w", 20, 7), [0, 1, 4, 5]), (None, [0, 1])])
def test_a_subject_that_moves_begins_anew(
    place: Place | None, computed: list[int], base_model: Any, prompt: Any
) -> None:
    """Keys are kept rotated: they are those of a place beside the picture."""
    lengths: list[tuple[int, int]] = []
    positive = []
    for start, end, there in ((0.0, 0.45, None), (0.45, 1.0, place)):
        model, part, _ = Apply.execute(base_model, prompt(), None, None, content((4, 4), place=there)).result
        positive += comfy_nodes.ConditioningSetTimestepRange().set_range(part, start, end)[0]
    sampled(reusing(counting(model, lengths), every=100), positive, steps=8)
    assert longest_steps(lengths) == computed


def test_a_lora_that_changes_begins_anew(referenced: Any) -> None:
    model, positive = referenced
    lengths: list[tuple[int, int]] = []
    weight = model.model.diffusion_model.img_in.weight
    hooks = comfy.hooks.create_hook_lora(
        {"lora.lora_up.weight": torch.randn(len(weight), 1), "lora.lora_down.weight": torch.randn(1, weight.shape[1])},
        1.0,
        1.0,
    )
    frames = comfy.hooks.HookKeyframeGroup()
    for strength, start in ((1.0, 0.0), (0.5, 0.5)):
        frames.add(comfy.hooks.HookKeyframe(strength=strength, start_percent=start))
    hooks.set_keyframes_on_hooks(frames)
    hooked = comfy.hooks.set_hooks_for_conditioning(positive, hooks)
    sampled(reusing(counting(model, lengths), every=100), hooked, steps=8)
    assert longest_steps(lengths) == [0, 1, 4, 5]


def test_runs_of_one_model_know_nothing_of_each_other(referenced: Any, prompt: Any, style: Any) -> None:
    model, positive = referenced
    _, other, _ = Apply.execute(model, prompt(8), None, small(style), content((4, 4), seed=9)).result
    reused = reusing(model)
    alone = sampled(reused, positive)
    sampled(reused, other, size=16)
    assert torch.equal(sampled(reused, positive), alone)


def test_nothing_is_left_after_a_run(referenced: Any) -> None:
    """Nor after one that broke off in the middle."""
    model, positive = referenced
    runs: list[weakref.ref[Any]] = []

    def note(q: Any, k: Any, v: Any, extra_options: dict[str, Any], **_: Any) -> dict[str, Any]:
        runs.append(weakref.ref(extra_options["uso_kept"]))
        return {}

    def stop(step: int, *_: Any) -> None:
        if step == 3:
            raise KeyboardInterrupt

    watched = model.clone()
    watched.set_model_attn1_patch(note)
    whole = sampled(reusing(watched), positive)
    with pytest.raises(KeyboardInterrupt):
        sampled(reusing(watched), positive, callback=stop)
    assert runs and all(run() is None for run in runs)
    assert torch.equal(sampled(reusing(watched), positive), whole)


def test_a_call_that_broke_off_is_forgotten(referenced: Any) -> None:
    """A pack that tries again after an error, with less at a time, does not read half a refresh."""
    model, positive = referenced
    lengths: list[tuple[int, int]] = []
    failed = 0

    def again(apply: Any, args: dict[str, Any]) -> torch.Tensor:
        nonlocal failed
        try:
            return apply(args["input"], args["timestep"], **args["c"])
        except MemoryError:
            failed += 1
            return torch.zeros_like(args["input"])

    def short_of_memory(q: Any, k: Any, v: Any, extra_options: dict[str, Any], **_: Any) -> dict[str, Any]:
        if len(lengths) == 4 + 2 and not failed:  # in the second step's second block
            raise MemoryError
        return {}

    patched = counting(model, lengths)
    patched.set_model_unet_function_wrapper(again)
    patched.set_model_attn1_patch(short_of_memory)
    sampled(reusing(patched, every=2), positive)
    assert failed == 1
    assert longest_steps(lengths)[:4] == [0, 1, 2, 3]
