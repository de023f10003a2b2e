"""Weights of levels and styles on the real server with USO-mini, and styles that are kept in files."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from .mini_graphs import OTHER, PAIR, Draw, Mini, Ref, rises
from .server import ComfyServer


@pytest.mark.long
def test_levels(drawn: Draw, likeness: Callable[..., float]) -> None:
    def weighed(weight: float) -> Callable[[Mini], Ref]:
        return lambda graph: graph.style(low=weight, mid=weight, high=weight)

    assert torch.equal(drawn(style=weighed(1.0)), drawn())
    found = [likeness(drawn(style=weighed(weight))) for weight in (0.02, 0.3, 1.0)]
    assert rises(found), found
    alone = [drawn(style=lambda graph, level=level: graph.style(**_only(level))) for level in ("low", "mid", "high")]
    assert not torch.equal(alone[0], alone[1]) and not torch.equal(alone[1], alone[2])


@pytest.mark.long
def test_level_presets(drawn: Draw, likeness: Callable[..., float]) -> None:
    def preset(name: str) -> Callable[[Mini], Ref]:
        return lambda graph: graph.style(preset=name)

    assert torch.equal(drawn(style=preset("by weight")), drawn())
    assert torch.equal(drawn(style=preset("closest")), drawn())
    found = [likeness(drawn(style=False)), *(likeness(drawn(style=preset(name))) for name in ("loose", "closest"))]
    assert rises(found), found


def _only(level: str) -> dict[str, float]:
    return {name: float(name == level) for name in ("low", "mid", "high")}


@pytest.mark.long
def test_fewer_tokens_say_less(drawn: Draw) -> None:
    """Pooled tokens leave a picture nearer to the one without a style."""
    bare = drawn(style=False)
    away = [
        (drawn(style=lambda graph, share=share: graph.style(tokens_per_level=share)) - bare).norm().item()
        for share in ("1/8", "all")
    ]
    assert away[0] < away[1]


@pytest.mark.parametrize(
    "mode", ["concat", *(pytest.param(one, marks=pytest.mark.long) for one in ("average", "lerp", "slerp"))]
)
def test_mixing(mode: str, drawn: Draw, likeness: Callable[..., float]) -> None:
    def mixed(weight: float) -> Callable[[Mini], Ref]:
        return lambda graph: graph.add(
            "USO_MixStyles",
            style_1=graph.style(OTHER),
            style_2=graph.style(PAIR),
            mode=mode,
            **{f"weight_{n}": 1.0 for n in range(3, 9)},
            weight_1=1.0 - weight,
            weight_2=weight,
        )[0]

    found = [likeness(drawn(style=mixed(weight))) for weight in (0.0, 0.5, 1.0)]
    assert found[0] < found[2], found
    assert torch.equal(drawn(style=mixed(1.0)), drawn())


def test_a_saved_style_draws_the_same(comfy: ComfyServer, drawn: Draw) -> None:
    def saved(graph: Mini) -> Ref:
        return graph.add("USO_SaveStyle", style=graph.style(), name="kept", overwrite=True)[0]

    assert torch.equal(drawn(style=saved), drawn())
    kept = drawn(style=lambda graph: graph.add("USO_LoadStyle", name="kept.safetensors", projector=graph.models[4])[0])
    assert torch.allclose(kept, drawn(), atol=0.05), "kept in float16"
