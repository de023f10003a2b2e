"""Areas of ComfyUI on a prompt: one over the whole picture changes nothing, whatever is set on the references.

ComfyUI gives an area of one side a partner on the other: a copy of its entry with the other side's text. References
must not come along with it.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import cycle, product
from typing import Any

import pytest
import torch
from comfyui_uso.nodes.apply import Apply
from comfyui_uso.nodes.graph.conditioning import Entries
from comfyui_uso.nodes.graph.dials import Place
from comfyui_uso.nodes.sockets import Style

from .areas import AREAS, SIDE
from .conftest import content

REGION = torch.ones(1, SIDE, SIDE).tril()
SETTINGS: dict[str, dict[str, Any]] = {
    "none": {},
    "style strength": {"style_strength": 0.4},
    "subject strength": {"content_strength": 1.5},
    "style blocks": {"style_blocks": "d0:0.3, s1:2"},
    "subject blocks": {"content_blocks": "d1:0.3"},
    "fast": {"style_strength": 0.4, "style_form": "fast"},
    "fast subject": {"content_strength": 0.4, "content_form": "fast"},
    "style start": {"style_start": 0.6},
    "subject end": {"content_end": 0.6},
    "curve": {"style_curve": "fade out"},
    "text strength": {"text_strength": 2.0},
    "batched": {"style_on": "positive, batched", "content_on_negative": True},
    "negative side": {"style_on": "negative"},
    "both sides": {"style_on": "both"},
    "split on both sides": {"style_curve": "fade in", "style_on": "both"},
    "subject on both": {"content_on_negative": True, "content_strength": 0.7},
    "style region": {"style_region": REGION},
    "subject region": {"content_region": REGION},
    "placement": {"place": Place("o")},
    "offsets": {"place": Place("d", 2, -1)},
    "all": {
        "style_strength": 0.7,
        "style_blocks": "d0:0.5",
        "style_region": REGION,
        "content_strength": 1.3,
        "content_blocks": "s0:0.5",
        "text_strength": 1.2,
        "place": Place("w", 1, 0),
    },
}
Edit = Callable[[Entries], Entries]


Draw = Callable[..., torch.Tensor]


@pytest.fixture(scope="module")
def area_drawn(base_model: Any, prompt: Any, sample: Any, style: Style) -> Draw:
    """Return a function that samples with references, with edits of the conditionings before and after USO Apply."""

    def draw(
        setting: str,
        cfg: float,
        positive: Edit | None = None,
        negative: Edit | None = None,
        before: bool = False,
        **options: Any,
    ) -> torch.Tensor:
        dials = dict(SETTINGS[setting])
        given = content((4, 6), place=dials.pop("place", None))
        conds = [prompt(), prompt(4)]
        edits = [edit or (lambda same: same) for edit in (positive, negative)]
        if before:
            conds = [edit(cond) for edit, cond in zip(edits, conds, strict=True)]
        model, *conds = Apply.execute(base_model, *conds, style, given, **dials).result
        if not before:
            conds = [edit(cond) for edit, cond in zip(edits, conds, strict=True)]
        return sample(model, *conds, cfg=cfg, size=SIDE, **options)

    return draw


@pytest.mark.parametrize("cfg", [1.0, 3.0])
@pytest.mark.parametrize("setting", SETTINGS)
def test_an_area_over_the_whole_picture_is_none(setting: str, cfg: float, area_drawn: Draw) -> None:
    plain = area_drawn(setting, cfg)
    for (name, area), before in product(AREAS.items(), (False, True)):
        found = area_drawn(setting, cfg, positive=area, before=before)
        assert torch.allclose(found, plain, rtol=0, atol=1e-5), (name, before)


@pytest.mark.parametrize("setting", SETTINGS)
def test_areas_on_both_sides_are_none(setting: str, area_drawn: Draw) -> None:
    plain = area_drawn(setting, 3.0)
    assert torch.allclose(area_drawn(setting, 3.0, AREAS["area"], AREAS["percentage"]), plain, rtol=0, atol=1e-5)


@pytest.mark.parametrize("setting", SETTINGS)
def test_an_area_on_the_negative_is_none(setting: str, area_drawn: Draw) -> None:
    plain = area_drawn(setting, 3.0, batch=2)
    for before in (False, True):
        found = area_drawn(setting, 3.0, negative=AREAS["mask bounds"], before=before, batch=2)
        assert torch.allclose(found, plain, rtol=0, atol=1e-5), before


@pytest.mark.parametrize("setting", SETTINGS)
def test_the_same_prompt_twice_counts_once(setting: str, area_drawn: Draw) -> None:
    """Two areas of the same prompt over the whole picture, one of them stronger, are that prompt."""
    plain = area_drawn(setting, 3.0)

    def twice(conds: Entries) -> Entries:
        return [*AREAS["area"](conds, strength=0.5), *AREAS["percentage"](conds, strength=2.0)]

    assert torch.allclose(area_drawn(setting, 3.0, positive=twice), plain, rtol=0, atol=2e-5)


@pytest.mark.parametrize(("setting", "kind"), [*zip(SETTINGS, cycle(AREAS))])
def test_halves_are_finite_and_keep_their_references(
    setting: str, kind: str, area_drawn: Draw, base_model: Any, prompt: Any, sample: Any
) -> None:
    """Each half has a prompt of its own; the references count in both."""
    area = AREAS[kind]

    def halves(conds: Entries) -> Entries:
        other = [[text.flip(1), values] for text, values in conds]
        return [*area(conds, share=0.5), *area(other, start=0.5, share=0.5)]

    with_both = area_drawn(setting, 3.0, positive=halves)
    without = sample(base_model, halves(prompt()), prompt(4), cfg=3.0, size=SIDE)
    assert with_both.isfinite().all()
    for half in (slice(0, SIDE // 2), slice(SIDE // 2, SIDE)):
        assert not torch.allclose(with_both[..., half], without[..., half], atol=1e-3)


def test_partners_are_as_few_as_the_areas(area_drawn: Draw, batches: list[int]) -> None:
    """One for each part in time that an entry of the area meets, however finely both sides are split."""
    rows = []
    for area in (None, AREAS["area"]):
        batches.clear()
        area_drawn("split on both sides", 3.0, positive=area)
        rows.append(sum(batches))
    assert rows[1] <= 2 * rows[0], rows
