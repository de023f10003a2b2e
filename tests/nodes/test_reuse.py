"""References reused over steps: what is read in their place, and when they are computed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import comfy.sample
import comfy.samplers
import pytest
import torch
from comfyui_uso.nodes.apply import Apply

from .conftest import content
from .reused import counting, longest_steps, reusing, sampled, small

Sampler = Callable[..., Any]


def run(
    model: Any, positive: Any, negative: Any, sampler: Sampler, steps: int = 4, cfg: float = 3.0, batch: int = 2
) -> Any:
    """Return what a sampler that is a function returns."""
    empty = torch.zeros(2, 16, 8, 8)
    noise = comfy.sample.prepare_noise(empty, 7)
    sigmas = torch.linspace(1, 0, steps + 1)
    return comfy.sample.sample_custom(
        model, noise, cfg, comfy.samplers.KSAMPLER(sampler), sigmas, positive, negative, empty, disable_pbar=True
    )


half = torch.zeros(1, 8, 8)
half[..., :4] = 1


@pytest.mark.parametrize(
    "dials",
    [
        {},
        {"style_strength": 0.5, "content_strength": 1.5},
        {"style_strength": 0.5, "style_form": "fast"},
        {"style_blocks": "d0:0.5, s1:0"},
        {"style_region": half, "content_region": half.flip(-1)},
    ],
)
@pytest.mark.parametrize("cfg", [1.0, 3.0])
@pytest.mark.parametrize("kinds", ["style and content", "style", "content"])
def test_a_step_asked_for_twice_gives_the_same(
    dials: dict[str, Any], cfg: float, kinds: str, base_model: Any, prompt: Any, style: Any
) -> None:
    """The second time nothing but what was kept tells of the references."""
    lengths: list[tuple[int, int]] = []

    def twice(model: Any, x: torch.Tensor, sigmas: torch.Tensor, **more: Any) -> torch.Tensor:
        rows = x.new_ones(len(x))
        once, again = (model(x, sigmas[0] * rows, **more.get("extra_args", {})) for _ in range(2))
        assert (once - again).abs().max() < 1e-5
        return x

    references = content((4, 4), (4, 6)) if "content" in kinds else None
    model, positive, negative = Apply.execute(
        base_model, prompt(), prompt(4), style if "style" in kinds else None, references, **dials
    ).result
    run(reusing(counting(model, lengths), first=0), positive, negative, twice, cfg=cfg)
    left_out = 192 * ("style" in kinds) + 10 * ("content" in kinds)
    queries = [length for _, length in lengths]
    assert max(queries) - min(queries) >= left_out


def test_every_step_is_off(base_model: Any, prompt: Any, style: Any) -> None:
    """Behind another such node, too."""
    assert reusing(base_model, every=1) is base_model
    model, positive, _ = Apply.execute(base_model, prompt(), None, small(style), content((4, 4))).result
    off = reusing(reusing(model, every=3), every=1)
    assert torch.equal(sampled(off, positive, name="heun"), sampled(model, positive, name="heun"))


@pytest.mark.parametrize(("every", "computed"), [(2, [0, 1, 3, 5, 7]), (3, [0, 1, 4, 7]), (8, [0, 1])])
def test_when_references_are_computed(
    every: int, computed: list[int], base_model: Any, prompt: Any, style: Any
) -> None:
    lengths: list[tuple[int, int]] = []
    model, positive, _ = Apply.execute(base_model, prompt(), None, small(style), content((4, 4))).result
    sampled(reusing(counting(model, lengths), every=every), positive, steps=8)
    assert longest_steps(lengths) == computed


def test_another_node_may_keep_what_a_block_saw(base_model: Any, prompt: Any, style: Any) -> None:
    """Blocks share the memory of their keys only where nobody else has a look at them."""
    kept: list[torch.Tensor] = []

    def keep(q: Any, k: torch.Tensor, v: Any, **_: Any) -> dict[str, Any]:
        if q.shape[2] < k.shape[2]:
            kept.append(k)
        return {}

    model, positive, _ = Apply.execute(base_model, prompt(), None, small(style), content((4, 4))).result
    model = reusing(model)
    model.set_model_attn1_patch(keep)
    sampled(model, positive, steps=3)
    assert len({k.data_ptr() for k in kept}) == len(kept) > 1
