"""Every dial on the real server with USO-mini: nothing at neutral, nothing at zero, and one way in between."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from .mini_graphs import OTHER, Draw, rises


@pytest.mark.parametrize(
    "dials",
    [
        {"style_strength": 1.0, "content_strength": 1.0, "text_strength": 1.0},
        {"style_start": 0.0, "style_end": 1.0, "content_curve": "1, 1"},
        {"style_blocks": "d0-1:1", "content_form": "fast"},
    ],
    ids=["strength", "range", "blocks"],
)
def test_neutral_is_bit_equal(dials: dict[str, Any], drawn: Draw) -> None:
    assert torch.equal(drawn(**dials), drawn())


def test_zero_is_without_the_reference(drawn: Draw) -> None:
    assert torch.equal(drawn(style_strength=0.0), drawn(style=False))
    assert torch.equal(drawn(content_strength=0.0), drawn(content=False))


def test_style_strength(drawn: Draw, likeness: Callable[..., float]) -> None:
    found = [likeness(drawn(style_strength=strength)) for strength in (0.0, 0.1, 0.4, 1.0)]
    assert rises(found), found


def test_content_strength(drawn: Draw, resemblance: Callable[..., float]) -> None:
    found = [resemblance(drawn(content_strength=strength)) for strength in (0.0, 0.1, 0.4, 1.0)]
    assert rises(found), found


def test_fast_form(drawn: Draw, likeness: Callable[..., float]) -> None:
    found = [likeness(drawn(style_strength=strength, style_form="fast")) for strength in (0.0, 0.3, 1.0)]
    assert rises(found), found


@pytest.mark.long
def test_range(drawn: Draw, likeness: Callable[..., float]) -> None:
    found = [likeness(drawn(style=end > 0, style_end=end or 1.0)) for end in (0.0, 0.34, 0.67, 1.0)]
    assert rises(found), found


@pytest.mark.long
def test_curve(drawn: Draw, likeness: Callable[..., float]) -> None:
    found = [likeness(drawn(style_curve=curve)) for curve in ("0.02", "0.02, 1", "1")]
    assert rises(found), found


@pytest.mark.long
def test_blocks(drawn: Draw, likeness: Callable[..., float]) -> None:
    found = [likeness(drawn(style_blocks=text)) for text in ("d0-1:0, s0-3:0", "s0-3:0", "")]
    assert rises(found), found
    assert torch.allclose(drawn(style_blocks="d0-1:0, s0-3:0"), drawn(style=False), atol=1e-3)


def test_region(drawn: Draw, likeness: Callable[..., float]) -> None:
    """A half changes more than the other, and less of the style is there than with the whole."""
    whole, other = drawn(), drawn(style=lambda graph: graph.style(OTHER))
    left = drawn(style_region=lambda graph: graph.mask(left=True))
    bare = drawn(style=False)
    change = (left - bare).abs().mean(dim=(0, 1, 2))
    assert change[:8].mean() > 1.05 * change[8:].mean()  # the picture's tokens hand much of it on to each other
    assert likeness(bare) < likeness(left) < likeness(whole)
    assert likeness(whole) > likeness(other)


@pytest.mark.long
def test_text_strength(drawn: Draw) -> None:
    """The weaker the prompt, the nearer the picture without it."""
    prompt = "a photo of a striped red and blue teapot on a sand floor"
    without = drawn(style=False, prompt=prompt, text_strength=0.0)
    away = [
        (drawn(style=False, prompt=prompt, text_strength=strength) - without).norm().item()
        for strength in (0.05, 0.3, 1.0)
    ]
    assert away == sorted(away)


@pytest.mark.long
def test_negative_style_pushes_away(drawn: Draw, likeness: Callable[..., float]) -> None:
    found = [likeness(drawn(style_on=side, content_on_negative=True)) for side in ("negative", "positive")]
    assert found[0] < likeness(drawn(style=False, content_on_negative=True)) < found[1]


def test_batched_draws_what_positive_draws(drawn: Draw) -> None:
    assert torch.allclose(drawn(style_on="positive, batched"), drawn(), atol=1e-3)
