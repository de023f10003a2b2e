"""Areas on a prompt with references, in whole graphs of USO-mini: over the whole picture they change nothing."""

from __future__ import annotations

from typing import Any

import pytest

from .mini_graphs import Mini, Ref
from .server import ComfyServer

WHOLE = {"width": 1.0, "height": 1.0, "x": 0.0, "y": 0.0, "strength": 1.0}
SETTINGS: dict[str, dict[str, Any]] = {
    "style": {},
    "region": {"style_region": lambda graph: graph.mask(left=True)},
    "text strength": {"text_strength": 3.0},
    "batched": {"style_on": "positive, batched"},
    "negative side": {"style_on": "negative"},
    "blocks": {"style_blocks": "d0:0.5", "content": Mini.content},
    "fast": {"style_strength": 0.6, "style_form": "fast", "content": Mini.content},
    "placement": {"content": lambda graph: graph.content(placement="over")},
    "offsets": {"content": lambda graph: graph.content(row_offset=2, column_offset=1)},
    "range": {"style_start": 0.3, "content_end": 0.6, "content": Mini.content},
}


def saved(graph: Mini, setting: str, sides: tuple[bool, bool], areas: dict[str, Any], size: int = 64) -> Any:
    """Return SaveLatent of a small picture at CFG 3, with an area on the sides that are asked for."""
    given = {name: value(graph) if callable(value) else value for name, value in SETTINGS[setting].items()}
    texts = [graph.add("CLIPTextEncode", clip=graph.models[1], text=words)[0] for words in ("a red owl", "")]
    references = {"content_on_negative": False, "style": graph.style(), **given}
    node = graph.add("USO_Apply", model=graph.models[0], positive=texts[0], negative=texts[1], **references)
    conds: list[Ref] = [node[1], node[2]]
    for side, wanted in enumerate(sides):
        if wanted:
            conds[side] = graph.add("ConditioningSetAreaPercentage", conditioning=conds[side], **areas)[0]
    sampled = graph.add(
        "KSampler",
        model=node[0],
        positive=conds[0],
        negative=conds[1],
        latent_image=graph.add("EmptySD3LatentImage", width=size, height=size, batch_size=1)[0],
        seed=7,
        steps=2,
        cfg=3.0,
        sampler_name="euler",
        scheduler="simple",
        denoise=1.0,
    )[0]
    return graph.add("SaveLatent", samples=sampled, filename_prefix="latents/areas")


@pytest.mark.parametrize("setting", SETTINGS)
def test_an_area_over_the_whole_picture_changes_nothing(comfy: ComfyServer, setting: str) -> None:
    graph = Mini(comfy)
    # ComfyUI gives an entry that is split in time one partner only, so an area on the other side cannot match it.
    sides = [(True, False), (True, True), *([] if setting == "range" else [(False, True)])]
    plain, *others = (saved(graph, setting, side, WHOLE) for side in ((False, False), *sides))
    run = comfy.run(graph)
    for side, other in zip(sides, others, strict=True):
        gap = (run.latent(other) - run.latent(plain)).abs().mean().item()
        assert gap < 1e-5, side


@pytest.mark.parametrize("setting", SETTINGS)
def test_areas_of_half_the_picture_draw(comfy: ComfyServer, setting: str) -> None:
    graph = Mini(comfy)
    half = {**WHOLE, "width": 0.5}
    nodes = [saved(graph, setting, sides, half, size=128) for sides in ((True, False), (False, True), (True, True))]
    run = comfy.run(graph)
    assert all(run.latent(node).isfinite().all() for node in nodes)
