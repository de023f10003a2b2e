"""All dials together, in combinations that nobody has thought of."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from comfyui_uso.nodes.graph.dials import Place
from comfyui_uso.nodes.sockets import Style
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .conftest import content

REGION = torch.linspace(0, 1, 64).reshape(1, 8, 8)
STRENGTHS = st.sampled_from([0.0, 0.4, 1.0, 2.5])
DIALS = st.fixed_dictionaries(
    {
        "strength": STRENGTHS,
        "range": st.sampled_from([(0.0, 1.0), (0.0, 0.5), (0.3, 1.0)]),
        "curve": st.sampled_from(["constant", "fade out", "1, 0, 0.5"]),
        "blocks": st.sampled_from(["", "d0:0.5", "s0-1:0, d1:2"]),
        "region": st.booleans(),
        "fast": st.booleans(),
    }
)


def _named(role: str, dial: dict[str, Any], exact: bool = False) -> dict[str, Any]:
    start, end = dial["range"]
    named = {"strength": dial["strength"], "start": start, "end": end, "curve": dial["curve"], "blocks": dial["blocks"]}
    if dial["region"]:
        named["region"] = REGION
    elif dial["fast"] and not exact:
        named["form"] = "fast"
    return {f"{role}_{name}": value for name, value in named.items()}


@settings(max_examples=240, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    styles=st.integers(0, 2),
    contents=st.integers(0, 2),
    batch=st.sampled_from([1, 2, 4]),
    cfg=st.sampled_from([1.0, 3.0]),
    style_dial=DIALS,
    content_dial=DIALS,
    side=st.sampled_from(["positive", "both", "negative", "positive, batched"]),
    both=st.booleans(),
    text=st.sampled_from([1.0, 0.5]),
    place=st.sampled_from([None, Place("o", 1, 2)]),
)
def test_any_combination_gives_finite_pictures(
    small_styles: dict[int, Style],
    drawn: Any,
    styles: int,
    contents: int,
    batch: int,
    cfg: float,
    style_dial: dict[str, Any],
    content_dial: dict[str, Any],
    side: str,
    both: bool,
    text: float,
    place: Place | None,
) -> None:
    out = drawn(
        style=small_styles[styles] if styles else None,
        content=content(*[(4, 6), (6, 4)][:contents], place=place) if contents else None,
        batch=batch,
        cfg=cfg,
        style_on=side,
        content_on_negative=both,
        text_strength=text,
        **_named("style", style_dial, exact=side == "positive, batched"),
        **_named("content", content_dial),
    )
    assert out.shape == (batch, 16, 8, 8) and out.isfinite().all()


@pytest.fixture(scope="module")
def small_styles(style: Style) -> dict[int, Style]:
    """Return one and two styles of few tokens, the second with weights of its own."""
    tokens = style.tokens[:, :24]
    two = Style(tokens=torch.cat([tokens, tokens.flip(1)], dim=1), counts=(24, 24), bias=torch.linspace(-1, 1, 48))
    return {1: Style(tokens=tokens, counts=(24,)), 2: two}
