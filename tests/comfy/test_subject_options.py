"""The options of subjects and of the LoRA on the real server with USO-mini."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from .mini_graphs import OTHER, PAIR, Draw, Mini, Ref


@pytest.mark.long
def test_lora_blocks(drawn: Draw) -> None:
    """Without the LoRA in any block the model is the base; in between it is in between."""

    def model(blocks: str = "", strength: float = 1.0) -> Callable[[Mini], Ref]:
        return lambda graph: graph.add("USO_LoadMini", lora_strength=strength, lora_blocks=blocks)[0]

    base = drawn(model=model(strength=0.0))
    assert torch.equal(drawn(model=model("d0-1:1")), drawn())
    assert torch.allclose(drawn(model=model("d0-1:0, s0-3:0")), base, atol=1e-4)
    away = [(drawn(model=model(blocks)) - base).norm().item() for blocks in ("d0-1:0, s0-3:0.3", "")]
    assert 0 < away[0] < away[1]


@pytest.mark.long
def test_places_and_backgrounds(drawn: Draw) -> None:
    def content(**options: Any) -> Callable[[Mini], Ref]:
        return lambda graph: graph.content(
            **{name: value(graph) if callable(value) else value for name, value in options.items()}
        )

    plain = drawn()
    assert torch.equal(drawn(content=content(placement="diagonal", background="grey")), plain)
    moved = [
        drawn(content=content(**options))
        for options in (
            {"placement": "over"},
            {"row_offset": 4},
            {"mask": lambda graph: graph.mask(left=True), "background": "black"},
        )
    ]
    assert all(not torch.allclose(a, b, atol=1e-2) for i, a in enumerate(moved) for b in [plain, *moved[:i]])


def test_frames(drawn: Draw, resemblance: Callable[..., float]) -> None:
    """Each picture of a batch follows its own frame."""

    def frames(graph: Mini) -> Ref:
        picture = graph.add(
            "ImageBatch", image1=graph.picture("content", PAIR), image2=graph.picture("content", OTHER)
        )[0]
        sizes = {"long_side": 128, "latent_long_side": 128}
        return graph.add("USO_EncodeContent", vae=graph.models[2], image=picture, **sizes, batch="frames")[0]

    out = drawn(style=False, content=frames)
    own, swapped = (resemblance(out[0:1], a) + resemblance(out[1:2], b) for a, b in ((PAIR, OTHER), (OTHER, PAIR)))
    assert own > swapped
