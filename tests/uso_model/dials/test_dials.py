"""The arithmetic of the dials, one formula at a time."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from comfyui_uso.uso_model.dials.bias import OFF, Layout, Reference, attention_bias, is_neutral, value_scale
from comfyui_uso.uso_model.dials.blocks import parse_blocks
from comfyui_uso.uso_model.dials.curves import CURVES, curve_values, spans
from comfyui_uso.uso_model.dials.mixing import mix
from hypothesis import given
from hypothesis import strategies as st


def test_blocks_are_read_and_the_rest_stays_one() -> None:
    assert parse_blocks("", 19, 38) is None and parse_blocks("d0-18:1", 19, 38) is None
    weights = parse_blocks("d0-1:0.5, s37:2;S0:0", 19, 38)
    assert weights is not None and [len(part) for part in weights] == [19, 38]
    double, single = weights
    assert double[:3] == (0.5, 0.5, 1.0) and single[0] == 0 and single[37] == 2 and sum(double + single) == 57 - 1


@pytest.mark.parametrize("text", ["d19:1", "x0:1", "d3-1:1", "d0", "s0-38:1", "d0:one"])
def test_wrong_blocks_are_named(text: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        parse_blocks(text, 19, 38)


@pytest.mark.parametrize("name", CURVES)
def test_named_curves_stay_between_nothing_and_all(name: str) -> None:
    values = curve_values(name)
    assert all(0 <= value <= 1 for value in values)
    assert name == "constant" or values == sorted(values, reverse="out" in name and "fade" in name)


def test_a_curve_can_be_written_as_numbers() -> None:
    assert curve_values("[1, 0.8 0.5]") == [1.0, 0.8, 0.5]
    for wrong in ("loud", "1, -1", "nan", ","):
        with pytest.raises(ValueError, match="constant"):
            curve_values(wrong)


@given(st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=1, max_size=9), st.floats(0, 0.4), st.floats(0.5, 1))
def test_spans_cover_their_range_without_gap(values: list[float], start: float, end: float) -> None:
    found = spans(start, end, values)
    assert found[0][0] == start and found[-1][1] == end
    assert all(left[1] == right[0] and left[2] != right[2] for left, right in pairwise(found))


def test_empty_ranges_are_refused() -> None:
    for start, end in ((0.5, 0.5), (0.6, 0.2), (-0.1, 1), (0, 1.1)):
        with pytest.raises(ValueError, match="start < end"):
            spans(start, end, [1.0])


def test_mixing_ends_at_its_ends() -> None:
    a, b = torch.randn(2, 1, 6, 8)
    for mode in ("lerp", "slerp", "average"):
        assert torch.allclose(mix([a, b], [1, 0], mode), a, atol=1e-6)
        assert torch.allclose(mix([a, b], [0, 1], mode), b, atol=1e-5)
    half = mix([a, b], [1, 1], "slerp")
    assert torch.allclose(half.norm(dim=-1), (a.norm(dim=-1) + b.norm(dim=-1)) / 2, atol=1e-5)
    assert torch.allclose(mix([a, a], [1, 3], "slerp"), a, atol=1e-6)
    assert torch.allclose(mix([a, b, b], [2, 1, 1], "average"), mix([a, b], [1, 1], "lerp"), atol=1e-6)


def test_what_cannot_be_mixed_is_said() -> None:
    a, b = torch.randn(1, 6, 8), torch.randn(1, 4, 8)
    for tokens, weights, mode in (([a, b], [1, 1], "lerp"), ([a, a], [0, 0], "average"), ([a] * 3, [1] * 3, "slerp")):
        with pytest.raises(ValueError, match="expected"):
            mix(tokens, weights, mode)


LAYOUT = Layout(style=2, text=3, image=(2, 2), references=(4,))


def attend(bias: torch.Tensor | None) -> torch.Tensor:
    torch.manual_seed(0)
    q, k, v = torch.randn(3, 1, 2, LAYOUT.length, 8)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=bias)


def test_a_whole_strength_counts_keys_as_often_as_it_says() -> None:
    """The bias log 3 equals the sequence with the reference's keys written three times."""
    torch.manual_seed(0)
    q, k, v = torch.randn(3, 1, 2, LAYOUT.length, 8)
    bias = attention_bias(LAYOUT, [Reference(0, 2, math.log(3))], q)
    repeated = [torch.cat([x[:, :, :2]] * 2 + [x], dim=2) for x in (k, v)]
    assert torch.allclose(attend(bias), F.scaled_dot_product_attention(q, *repeated), atol=1e-6)


def test_off_is_as_if_the_tokens_were_not_there() -> None:
    torch.manual_seed(0)
    q, k, v = torch.randn(3, 1, 2, LAYOUT.length, 8)
    bias = attention_bias(LAYOUT, [Reference(9, 4, OFF)], q)
    without = F.scaled_dot_product_attention(q, k[:, :, :9], v[:, :, :9])
    assert torch.allclose(attend(bias), without, atol=1e-6)


def test_a_region_hides_the_reference_outside() -> None:
    region = torch.tensor([[[1.0, 0.0], [0.5, 0.0]]])
    bias = attention_bias(LAYOUT, [Reference(0, 2, 0.0, region)], torch.zeros(1))
    assert bias.shape == (1, 1, 13, 13)
    style = bias[0, 0, :, 0].tolist()
    assert style[:2] == [0, 0]  # its own tokens
    assert style[2:5] == pytest.approx([math.log(0.375)] * 3)  # text: the size of the region
    assert style[5:9] == pytest.approx([0.0, OFF, math.log(0.5), OFF])
    assert bias[..., 2:].abs().max() == 0


def test_a_batch_of_regions_gives_a_batch_of_biases() -> None:
    regions = torch.rand(3, 16, 16)
    assert attention_bias(LAYOUT, [Reference(9, 4, 0.5, regions)], torch.zeros(1)).shape == (3, 1, 13, 13)


def test_places_of_a_batch_have_their_own_strengths() -> None:
    bias = attention_bias(LAYOUT, [Reference(0, 2, torch.tensor([[0.0], [1.0]]))], torch.zeros(1))
    assert bias.shape == (2, 1, 1, 13) and bias[1, 0, 0].tolist() == [1.0, 1.0] + [0.0] * 11 and not bias[0].any()


def test_the_fast_form_scales_values() -> None:
    scale = value_scale(LAYOUT, [Reference(9, 4, math.log(0.5))], torch.zeros(1))
    assert scale.shape == (1, 1, 13, 1) and scale.flatten().tolist() == pytest.approx([1.0] * 9 + [0.5] * 4)


def test_neutral_needs_no_bias() -> None:
    assert is_neutral([]) and is_neutral([Reference(0, 2), Reference(9, 4)])
    assert not is_neutral([Reference(9, 4, torch.zeros(1, 4))])  # not read, which would wait for the card
    assert not is_neutral([Reference(0, 2, 0.1)]) and not is_neutral([Reference(0, 2, 0.0, torch.ones(1, 2, 2))])
