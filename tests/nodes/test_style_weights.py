"""Weights of levels and of whole styles: presets, mixtures, and what they do to attention."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from comfyui_uso.nodes.mix_styles import mixed
from comfyui_uso.nodes.sockets import Style
from comfyui_uso.nodes.style import ProjectStyle, of_levels


def test_levels_left_out_are_other_tokens(features: Any, core_projector: Any, style: Style) -> None:
    low = ProjectStyle.execute(features(2), core_projector, 1.0, 0.0, 0.0).result[0]
    assert low.counts == (64,) and torch.equal(low.tokens, style.tokens[:, 128:]) and low.bias is None
    half = of_levels(style.tokens, 64, [1, 1, 2], parts=2)
    assert (
        half.counts == (96,) and half.bias is not None and half.bias[64:].unique().tolist() == [torch.tensor(2.0).log()]
    )
    with pytest.raises(ValueError, match="one above"):
        ProjectStyle.execute(features(2), core_projector, 0.0, 0.0, 0.0)


def test_a_preset_stands_for_its_weights(features: Any, core_projector: Any, style: Style) -> None:
    def preset(name: str) -> Style:
        return ProjectStyle.execute(features(2), core_projector, 0.3, 0.4, 0.5, preset=name).result[0]

    assert torch.equal(preset("closest").tokens, style.tokens) and preset("closest").bias is None
    assert torch.equal(preset("close").tokens, style.tokens[:, :128])
    assert torch.equal(preset("loose").tokens, style.tokens[:, 64:128])
    assert preset("by weight").bias is not None


def test_level_weights_reach_attention(drawn: Any, style: Style) -> None:
    outs = [drawn(style=of_levels(style.tokens, 64, weights)) for weights in ([1, 1, 1], [1, 1, 0.2], [1, 1, 0])]
    assert torch.equal(outs[0], drawn())
    away = [(out - outs[2]).norm().item() for out in outs]
    assert away[0] > away[1] > 0


def test_mixing_by_weights(features: Any, core_projector: Any, drawn: Any, style: Style) -> None:
    other = ProjectStyle.execute(features(9), core_projector).result[0]
    assert torch.equal(drawn(style=mixed([(style, 1.0), (other, 0.0)], "concat")), drawn())
    for mode in ("average", "lerp", "slerp"):
        assert mixed([(style, 1.0), (other, 1.0)], mode).counts == (192,)
    assert mixed([(style, 0.5), (other, 1.0)], "concat").counts == (192, 192)
    both = ProjectStyle.execute(features(2, 9), core_projector).result[0]
    assert torch.equal(drawn(style=mixed([(style, 1.0), (other, 1.0)], "concat")), drawn(style=both))
    away = [
        (drawn(style=mixed([(style, 1.0), (other, weight)], "concat")) - drawn()).norm().item()
        for weight in (0.05, 0.3, 1.0)
    ]
    assert away == sorted(away)


def test_styles_for_other_models_do_not_mix(style: Style) -> None:
    wider = Style(tokens=torch.zeros(1, 192, 128), counts=(192,))
    for mode in ("concat", "average"):
        with pytest.raises(ValueError, match="widths 64 and 128"):
            mixed([(style, 1.0), (wider, 1.0)], mode)
