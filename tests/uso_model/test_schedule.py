"""Schedules: closed form, published values, and the official token-count quirk."""

from __future__ import annotations

import math

import pytest
import torch
from comfyui_uso.uso_model.schedule import (
    flux_schedule,
    mu_for_tokens,
    official_mu,
    official_schedule,
    shift_time,
    shifted_schedule,
    token_count,
)
from hypothesis import given
from hypothesis import strategies as st


def test_published_shifts() -> None:
    assert math.isclose(mu_for_tokens(256), 0.5) and math.isclose(mu_for_tokens(4096), 1.15)
    assert token_count(1024, 1024) == 4096
    assert math.isclose(official_mu(1024, 1024), 0.4675)
    assert math.isclose(official_mu(512, 512), 0.459375)
    assert math.isclose(official_mu(768, 768), 0.46276, abs_tol=1e-5)


@given(st.integers(1, 60), st.floats(-2, 3))
def test_closed_form(steps: int, mu: float) -> None:
    times = shifted_schedule(steps, mu)
    assert times.shape == (steps + 1,) and math.isclose(times[0], 1, abs_tol=1e-6) and times[-1] == 0
    for i, time in enumerate(times.tolist()[:-1]):
        t = 1 - i / steps
        assert math.isclose(time, math.exp(mu) * t / (math.exp(mu) * t + 1 - t), rel_tol=1e-4, abs_tol=1e-6)
    assert (times.diff() < 0).all()


@given(st.floats(0.01, 0.99), st.floats(-2, 3))
def test_opposite_shifts_cancel(t: float, mu: float) -> None:
    there = shift_time(torch.tensor(t, dtype=torch.float64), mu)
    assert math.isclose(shift_time(there, -mu).item(), t, rel_tol=1e-6)


def test_official_and_flux_schedules_are_different_things() -> None:
    assert torch.equal(official_schedule(25, 1024, 1024), shifted_schedule(25, official_mu(1024, 1024)))
    assert torch.equal(flux_schedule(25, 4096), shifted_schedule(25, mu_for_tokens(4096)))
    assert flux_schedule(25, 4096)[12] - official_schedule(25, 1024, 1024)[12] > 0.1


def test_no_steps_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        shifted_schedule(0, 1.0)
