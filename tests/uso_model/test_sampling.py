"""The Euler loop against closed forms, and the velocity function against a direct call."""

from __future__ import annotations

import math

import torch
from comfyui_uso.uso_model.checkpoints.flux import from_bfl
from comfyui_uso.uso_model.checkpoints.strict import load_strict
from comfyui_uso.uso_model.config import FluxConfig
from comfyui_uso.uso_model.packing import pack, unpack
from comfyui_uso.uso_model.positions import image_ids, reference_ids, text_ids
from comfyui_uso.uso_model.sampling import Conditioning, euler, guided, velocity
from comfyui_uso.uso_model.schedule import shifted_schedule
from comfyui_uso.uso_model.transformer import UsoTransformer
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor


@given(st.integers(1, 30), st.floats(-1, 2))
def test_a_straight_path_is_exact_in_any_number_of_steps(steps: int, mu: float) -> None:
    noise, latent = torch.randn(2, 1, 4, generator=torch.Generator().manual_seed(0))
    out = euler(lambda x, t: noise - latent, noise, shifted_schedule(steps, mu))
    assert torch.allclose(out, latent, atol=1e-5)


@given(st.integers(1, 40))
def test_decay_is_the_product_of_the_steps(steps: int) -> None:
    times = shifted_schedule(steps, 0.5).double()
    out = euler(lambda x, t: -x, torch.ones(1, 1, dtype=torch.float64), times)
    expected = math.prod(1 + (a - b) for a, b in zip(times[:-1].tolist(), times[1:].tolist(), strict=True))
    assert math.isclose(out.item(), expected, rel_tol=1e-12)


def test_the_loop_calls_back_with_the_time_of_each_step() -> None:
    seen: list[float] = []
    steps: list[int] = []

    def v(x: Tensor, t: Tensor) -> Tensor:
        assert t.shape == (3,)
        seen.append(t[0].item())
        return torch.zeros_like(x)

    times = shifted_schedule(4, 0.4675)
    euler(v, torch.zeros(3, 2), times, callback=lambda step, x: steps.append(step))
    assert seen == times[:-1].tolist() and steps == [0, 1, 2, 3]


@torch.no_grad()
def test_velocity_assembles_the_joint_sequence(tiny: FluxConfig, tiny_flux: dict[str, Tensor]) -> None:
    model = UsoTransformer(tiny).eval()
    load_strict(model, from_bfl(tiny_flux), "tiny")
    generator = torch.Generator().manual_seed(0)
    x, ref = torch.randn(1, 16, 4, 6, generator=generator), torch.randn(1, 16, 2, 4, generator=generator)
    txt, vec = torch.randn(1, 5, 20, generator=generator), torch.randn(1, 12, generator=generator)
    style = torch.randn(1, 7, 128, generator=generator)
    got = velocity(model, Conditioning(txt=txt, vec=vec, style=style, content=[ref], guidance=3.0))(
        x, torch.tensor([0.6])
    )
    direct = model(
        pack(x),
        image_ids(2, 3),
        txt,
        text_ids(5),
        torch.tensor([0.6]),
        vec,
        guidance=torch.tensor([3.0]),
        style=style,
        refs=[pack(ref)],
        ref_ids=reference_ids((2, 3), [(1, 2)]),
    )
    assert torch.equal(got, unpack(direct, 2, 3))


def test_guidance_goes_from_the_negative_past_the_positive() -> None:
    x, t = torch.zeros(1, 2), torch.zeros(1)
    for cfg, expected in ((0.0, 1.0), (1.0, 3.0), (2.0, 5.0)):
        v = guided(lambda x, t: torch.full_like(x, 3.0), lambda x, t: torch.full_like(x, 1.0), cfg)
        assert torch.equal(v(x, t), torch.full_like(x, expected))
