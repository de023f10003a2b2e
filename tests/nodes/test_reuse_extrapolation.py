"""What is read of references between two refreshes, and when the next one is due."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from comfyui_uso.nodes.apply import Apply
from comfyui_uso.nodes.sampling.reuse.kept import Kept

from .conftest import content
from .reused import counting, longest_steps, reusing, sampled, small

BLOCK = ("double", 0)


def read(times: list[float], time: float) -> float:
    """Return what is read at a time of keys and values that are three times the time, known at some times."""
    kept = Kept(2, torch.device("cpu"))
    for step, known in enumerate(times):
        tokens = [torch.full((1, 1, 1, 4), 3 * known)]
        kept.put(BLOCK, tokens, tokens, known)
        kept.close(known, step)
    keys, values = torch.empty(1, 1, 1, 4), torch.empty(1, 1, 1, 4)
    kept.forecast(BLOCK, time, slice(None), keys, values)
    assert torch.equal(keys, values)
    return float(keys[0, 0, 0, 0])


def test_between_two_refreshes_is_a_line() -> None:
    assert read([0.9, 0.8], 0.5) == pytest.approx(1.5)


def test_nothing_is_extrapolated_from_pure_noise() -> None:
    assert read([1.0, 0.9], 0.5) == pytest.approx(2.7)  # held
    assert read([1.0, 0.9, 0.8], 0.5) == pytest.approx(1.5)


@pytest.mark.parametrize(
    ("tolerance", "every", "computed"),
    [(1e-6, 100, [0, 1, 4, 7, 8, 9]), (1e-6, 2, [0, 1, 3, 5, 6, 7, 8, 9]), (1.0, 100, [0, 1, 4, 7])],
)
def test_a_tolerance_acts_from_the_first_measured_error_on(
    tolerance: float, every: int, computed: list[int], base_model: Any, prompt: Any, style: Any
) -> None:
    lengths: list[tuple[int, int]] = []
    model, positive, _ = Apply.execute(base_model, prompt(), None, small(style), content((4, 4))).result
    sampled(reusing(counting(model, lengths), every=every, tolerance=tolerance), positive, steps=10)
    assert longest_steps(lengths) == computed
