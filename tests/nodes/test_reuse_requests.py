"""A guidance that asks for an entry once more keeps apart from the sampler, whatever ComfyUI runs together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import comfy.samplers
import pytest
import torch
from comfyui_uso.nodes.apply import Apply
from comfyui_uso.nodes.sampling.reuse.requests import Requests

from .conftest import content
from .reused import counting, longest_steps, reusing, sampled, small

STEPS = 8


@pytest.fixture
def referenced(base_model: Any, prompt: Any, style: Any) -> Any:
    """Return MODEL, positive and negative, whose references are of one size: both fit in one call."""
    model, positive, _ = Apply.execute(base_model, prompt(), None, small(style), content((4, 4))).result
    _, negative, _ = Apply.execute(base_model, prompt(4), None, small(style), content((4, 4), seed=8)).result
    return model, positive, negative


@pytest.fixture
def batched(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any, set[int]], Any]:
    """Return a function that has a MODEL run both sides in one call, but for some evaluations."""

    def split(model: Any, apart: set[int]) -> Any:
        evaluation = -1

        def count(executor: Any, *args: Any, **kwargs: Any) -> Any:
            nonlocal evaluation
            evaluation += 1
            return executor(*args, **kwargs)

        def need(shape: Any, **_: Any) -> float:
            return 1e30 if shape[0] > 1 and evaluation in apart else 0

        patched = model.clone()
        patched.add_wrapper_with_key("predict_noise", "batches", count)
        monkeypatch.setattr(model.model, "memory_required", need)
        return patched

    return split


def asking_again(model: Any) -> Any:
    """Return a MODEL with a guidance that draws the prompt once more, from another latent, and makes nothing of it."""

    def draw(args: dict[str, Any]) -> torch.Tensor:
        latent = args["input"] * 0.5
        comfy.samplers.calc_cond_batch(args["model"], [args["cond"]], latent, args["sigma"], args["model_options"])
        return args["denoised"]

    patched = model.clone()
    patched.set_model_sampler_post_cfg_function(draw, disable_cfg1_optimization=True)
    return patched


@pytest.mark.parametrize("apart", [set(), {3, 4, 5}, {0, 1, 2}, {1, 2, 5, 6}])
def test_batches_that_change_mix_up_no_requests(apart: set[int], referenced: Any, batched: Any) -> None:
    model, *conds = referenced
    options = {"cfg": 2.0, "steps": STEPS}
    plain = sampled(batched(reusing(model), apart), *conds, **options)
    assert torch.equal(sampled(batched(asking_again(reusing(model)), apart), *conds, **options), plain)


def test_a_prompt_whose_other_side_ends_is_not_computed_anew(referenced: Any, batched: Any) -> None:
    """As where guidance has a range: calls of the prompt alone are the same request with that side and without it."""
    model, positive, negative = referenced
    lengths: list[tuple[int, int]] = []

    def end(args: dict[str, Any]) -> list[torch.Tensor]:
        conds = args["conds"] if float(args["sigma"][0]) > 0.5 else [args["conds"][0], None]
        return comfy.samplers.calc_cond_batch(args["model"], conds, args["input"], args["sigma"], args["model_options"])

    patched = batched(asking_again(reusing(counting(model, lengths), every=100)), set(range(STEPS)))
    patched.model_options["sampler_calc_cond_batch_function"] = end
    sampled(patched, positive, negative, cfg=2.0, steps=STEPS)
    assert longest_steps(lengths) == [0, 1]


def test_a_call_that_another_cache_answers_counts(referenced: Any, batched: Any) -> None:
    """The guidance's call is then the first one that the network sees."""
    model, *conds = referenced
    seen: list[bool] = []

    def answer(executor: Any, *args: Any) -> Any:
        main = len(args[1]) == 2
        seen.append(main)
        left_out = main and seen.count(True) in (4, 5)
        return [torch.zeros_like(args[2]) for _ in args[1]] if left_out else executor(*args)

    cached = model.clone()
    cached.add_wrapper_with_key("calc_cond_batch", "cache", answer)
    apart, options = set(range(STEPS)), {"cfg": 2.0, "steps": STEPS}
    plain = sampled(batched(reusing(cached, every=3), apart), *conds, **options)
    seen.clear()
    assert torch.equal(sampled(batched(asking_again(reusing(cached, every=3)), apart), *conds, **options), plain)


def test_a_call_outside_of_requests_is_one_of_its_own() -> None:
    """Packs that split entries themselves make such calls, and a guidance behind them may ask ComfyUI."""
    requests, side = Requests(), [("prompt", 0)]
    first = requests.number(side, None, "call")
    with requests.during(side, None):
        guidance = requests.number(side, None, "call")
    again = requests.number(side, None, "call")
    assert len({first, guidance, again}) == 3
    requests.clear()
    assert requests.number(side, None, "call") == first, "the next evaluation"
