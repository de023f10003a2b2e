"""The empty negative: one entry, whatever the prompt has, with the prompt's other settings."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from comfyui_uso.nodes.apply import Apply
from comfyui_uso.nodes.graph.conditioning import emptied
from comfyui_uso.nodes.graph.keys import STYLE
from comfyui_uso.nodes.sampler import Sampler
from comfyui_uso.nodes.sockets import Style

from nodes import ConditioningZeroOut

LATENT = {"samples": torch.zeros(1, 16, 8, 8)}


def rows_of_a_run(batches: list[int], model: Any, positive: Any, negative: Any = None) -> int:
    """Return the rows that two steps at CFG 3 cost."""
    batches.clear()
    Sampler.execute(model, positive, LATENT, 1, 2, 4.0, 3.0, "euler", "official", 1.15, 1.0, negative)
    return sum(batches)


@pytest.mark.parametrize("dials", [{}, {"style_curve": "fade out"}, {"style_start": 0.2, "style_end": 0.7}], ids=str)
def test_the_negative_costs_one_row_a_step(
    dials: dict[str, Any], batches: list[int], base_model: Any, prompt: Any, style: Style
) -> None:
    model, positive, negative = Apply.execute(base_model, prompt(), None, style, **dials).result
    assert len(negative) == 1
    for given in (None, negative):  # USO Sampler's own, and USO Apply's
        assert rows_of_a_run(batches, model, positive, given) == 2 * 2
    _, _, again = Apply.execute(model, positive, None, style).result
    assert len(again) == 1 and STYLE not in again[0][1]


def test_regional_prompts_have_one_empty_counterpart(
    batches: list[int], base_model: Any, prompt: Any, style: Style
) -> None:
    left = torch.zeros(1, 64, 64)
    left[..., :32] = 1
    areas = [*prompt(mask=left, mask_strength=1.0), *prompt(4, mask=1 - left, mask_strength=1.0)]
    model, positive, negative = Apply.execute(base_model, areas, None, style).result
    assert len(negative) == 1 and "mask" not in negative[0][1]
    assert rows_of_a_run(batches, model, positive) == 2 * (2 + 1)


def test_it_is_what_conditioning_zero_out_gives_for_the_bare_prompt(base_model: Any, prompt: Any, style: Style) -> None:
    bare = prompt(guidance=5.0, control_apply_to_uncond=True)
    expected = ConditioningZeroOut().zero_out(bare)[0]
    for entries in (bare, Apply.execute(base_model, bare, None, style, style_curve="fade out").result[1]):
        made = emptied(entries)
        assert len(made) == 1 and torch.equal(made[0][0], expected[0][0])
        assert torch.equal(made[0][1].pop("pooled_output"), expected[0][1]["pooled_output"])
        assert made[0][1] == {"guidance": 5.0, "control_apply_to_uncond": True}
    assert emptied([]) == []
