"""Rotary positions and the timestep embedding against their definitions."""

from __future__ import annotations

import math

import torch
from comfyui_uso.uso_model.math import attention, rotary_table, rotate, timestep_embedding
from comfyui_uso.uso_model.positions import image_ids

AXES = (16, 56, 56)


def test_rotation_keeps_lengths_and_depends_on_distance_only() -> None:
    generator = torch.Generator().manual_seed(0)
    q, k = torch.randn(2, 1, 1, 1, 128, generator=generator)

    def score(a: tuple[int, int], b: tuple[int, int]) -> float:
        pe_a, pe_b = (rotary_table(torch.tensor([[[0.0, *at]]]), AXES, 10_000) for at in (a, b))
        assert torch.allclose(rotate(q, pe_a).norm(), q.norm(), rtol=1e-5)
        return (rotate(q, pe_a) * rotate(k, pe_b)).sum().item()

    assert math.isclose(score((3, 9), (1, 4)), score((12, 8), (10, 3)), abs_tol=1e-4)
    assert not math.isclose(score((3, 9), (1, 4)), score((3, 9), (1, 5)), abs_tol=1e-3)


def test_rotary_table_in_complex_numbers() -> None:
    ids = image_ids(3, 5)[None]
    cos, sin = rotary_table(ids, AXES, 10_000)
    expected = torch.cat(
        [
            torch.polar(
                torch.ones(1, dtype=torch.float64),
                ids[..., axis, None].double() * 10_000.0 ** -(torch.arange(0, dim, 2).double() / dim),
            )
            for axis, dim in enumerate(AXES)
        ],
        dim=-1,
    )
    assert torch.allclose(torch.complex(cos, sin).squeeze(1), expected.to(torch.complex64), atol=1e-6)


def test_attention_is_a_softmax_of_scaled_products() -> None:
    q, k, v = torch.randn(3, 2, 2, 15, 128, generator=torch.Generator().manual_seed(1))
    pe = rotary_table(image_ids(3, 5)[None].expand(2, -1, -1), AXES, 10_000)
    weights = (rotate(q, pe) @ rotate(k, pe).transpose(-1, -2) / 128**0.5).softmax(-1)
    expected = (weights @ v).transpose(1, 2).flatten(2)
    assert torch.allclose(attention(q, k, v, pe), expected, atol=1e-5)


def test_timestep_embedding_is_cosines_then_sines() -> None:
    t = torch.tensor([0.0, 0.25, 1.0])
    got = timestep_embedding(t, 256)
    for row, time in enumerate(t.tolist()):
        for i in (0, 1, 60, 127):
            angle = 1000 * time * math.exp(-math.log(10_000) * i / 128)
            assert math.isclose(got[row, i], math.cos(angle), abs_tol=2e-4)
            assert math.isclose(got[row, 128 + i], math.sin(angle), abs_tol=2e-4)


def test_bfloat16_times_are_quantised_as_officially() -> None:
    exact = timestep_embedding(torch.tensor([972.0 / 1000]).double(), 256).float()
    got = timestep_embedding(torch.tensor([0.974557], dtype=torch.bfloat16), 256)
    assert got.dtype == torch.bfloat16
    assert (got.float() - exact).abs().max() < 0.01
