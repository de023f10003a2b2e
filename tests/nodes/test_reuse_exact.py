"""Steps between, against an oracle that leaves no token out: dials, sides, areas, ranges and batches."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from comfyui_uso.nodes.apply import Apply

import nodes as comfy_nodes

from .areas import AREAS
from .conftest import content
from .reused import counting, held, longest_steps, reusing, sampled, small

half = torch.zeros(1, 8, 8)
half[..., :4] = 1

DIALS: dict[str, dict[str, Any]] = {
    "none": {},
    "strengths": {"style_strength": 0.5, "content_strength": 1.5},
    "fast": {"style_strength": 0.5, "style_form": "fast", "content_strength": 0.7, "content_form": "fast"},
    "blocks": {"style_blocks": "d0:0.5, s1:0", "content_blocks": "s0:2"},
    "regions": {"style_region": half, "content_region": half.flip(-1)},
    "ends": {"style_end": 0.6},
    "late": {"style_start": 0.3, "content_start": 0.5},
    "text": {"text_strength": 0.5, "style_strength": 2.0},
}
QUICK = {"none", "fast", "blocks", "regions"}


def both(model: Any, every: int, form: str, *conds: Any, **options: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Return what the node gives, and the oracle."""
    return (
        sampled(reusing(model, every=every, form=form), *conds, **options),
        sampled(held(model, every=every, form=form), *conds, **options),
    )


def check(ours: torch.Tensor, oracle: torch.Tensor) -> None:
    assert (ours - oracle).abs().max() < 2e-5


@pytest.mark.parametrize(
    "dials", [pytest.param(name, marks=() if name in QUICK else pytest.mark.long) for name in DIALS]
)
def test_dials_on_the_steps_between(dials: str, base_model: Any, prompt: Any, style: Any) -> None:
    references = content((4, 4), (4, 6))
    model, positive, negative = Apply.execute(
        base_model, prompt(), prompt(4), small(style), references, **DIALS[dials]
    ).result
    check(*both(model, 3, "linear", positive, negative, cfg=3.0))


@pytest.mark.parametrize("form", ["hold", pytest.param("linear", marks=pytest.mark.long)])
def test_both_sides_with_other_dials(form: str, base_model: Any, prompt: Any, style: Any) -> None:
    model, positive, _ = Apply.execute(
        base_model, prompt(), None, small(style), content((4, 4)), style_strength=0.5
    ).result
    _, negative, _ = Apply.execute(
        base_model, prompt(4), None, small(style), content((4, 4), seed=6), content_blocks="d1:0"
    ).result
    check(*both(model, 4, form, positive, negative, cfg=3.0, batch=2))


@pytest.mark.parametrize("form", ["corrected", pytest.param("linear", marks=pytest.mark.long)])
@pytest.mark.parametrize("tolerance", [0.0, 1.0])
def test_many_refreshes(form: str, tolerance: float, base_model: Any, prompt: Any, style: Any) -> None:
    """From the fourth one on the last error is known."""
    model, positive, negative = Apply.execute(
        base_model, prompt(), prompt(4), small(style), content((4, 4)), style_strength=0.5, content_on_negative=True
    ).result
    ours = [
        sampled(reusing(model, every, one, tolerance=tolerance), positive, negative, cfg=2.0, steps=11)
        for every, one in ((2, form), (2, "linear" if form == "corrected" else "hold"))
    ]
    check(ours[0], sampled(held(model, 2, form), positive, negative, cfg=2.0, steps=11))
    assert (ours[0] - ours[1]).abs().max() > 1e-5, "the form must matter"


def test_conditionings_side_by_side(base_model: Any, prompt: Any, style: Any) -> None:
    """Two prompts on one side, each with references of its own, run in one call."""
    model, one, _ = Apply.execute(base_model, prompt(), None, small(style), content((4, 4))).result
    _, other, _ = Apply.execute(
        base_model, prompt(8), None, small(style), content((4, 4), seed=9), style_strength=2
    ).result
    check(*both(model, 3, "linear", [*one, *other], prompt(4), cfg=2.0))


@pytest.mark.parametrize(
    "area", [pytest.param(name, marks=() if name == "percentage" else pytest.mark.long) for name in AREAS]
)
def test_areas(area: str, base_model: Any, prompt: Any, style: Any) -> None:
    """ComfyUI copies the negative for every area; copies have the same uuid and another place."""
    model, one, negative = Apply.execute(
        base_model, prompt(), prompt(4), small(style), content((4, 4)), style_on="both", content_on_negative=True
    ).result
    _, other, _ = Apply.execute(base_model, prompt(8), None, small(style), content((4, 4), seed=9)).result
    place = AREAS[area]
    positive = [*place(one, 0.0, 0.5), *place(other, 0.5, 0.5)]
    check(*both(model, 3, "linear", positive, negative, cfg=2.0))


def test_a_range_of_the_sampling(base_model: Any, prompt: Any, style: Any) -> None:
    """The entry that begins at .3 begins with two steps of its own."""
    model, late, _ = Apply.execute(base_model, prompt(), None, small(style), content((4, 4))).result
    (late,) = comfy_nodes.ConditioningSetTimestepRange().set_range(late, 0.3, 1.0)
    (early,) = comfy_nodes.ConditioningSetTimestepRange().set_range(prompt(), 0.0, 0.3)
    check(*both(model, 3, "linear", [*early, *late], steps=8))


def test_a_subject_alone_is_reused(base_model: Any, prompt: Any) -> None:
    """It rides on ComfyUI's own reference latents, with nothing of ours on the entry."""
    lengths: list[tuple[int, int]] = []
    model, positive, _ = Apply.execute(base_model, prompt(), None, None, content((4, 4))).result
    check(*both(model, 3, "linear", positive))
    sampled(reusing(counting(model, lengths), every=3), positive)
    assert longest_steps(lengths) == [0, 1, 4]


def test_the_oracle_is_not_what_is_without_the_node(base_model: Any, prompt: Any, style: Any) -> None:
    model, positive, _ = Apply.execute(base_model, prompt(), None, small(style), content((4, 4))).result
    assert (sampled(held(model), positive) - sampled(model, positive)).abs().max() > 1e-3


def test_references_of_another_node(base_model: Any, prompt: Any) -> None:
    """Kontext's references are content references as well."""
    (latent,) = content((4, 4)).latents
    positive = prompt(reference_latents=[latent])
    check(*both(base_model, 3, "linear", positive))
