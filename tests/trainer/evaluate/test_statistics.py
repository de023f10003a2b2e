"""Intervals hold the truth as often as they say, and areas are those of the ROC curve."""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch
from comfyui_uso.trainer.evaluate.statistics import interval, placements
from comfyui_uso.uso_model.judging.roc import area


def simulated(rng, subjects, prompts, samples, of_subject, of_prompt, noise=0.1, kept=1.0):
    """Return values around .5 with their subjects and prompts."""
    subject, prompt, _ = np.meshgrid(range(subjects), range(prompts), range(samples), indexing="ij")
    values = 0.5 + rng.normal(0, of_subject, subjects)[subject] + rng.normal(0, of_prompt, prompts)[prompt]
    values += rng.normal(0, noise / 2, (subjects, prompts))[subject, prompt] + rng.normal(0, noise, values.shape)
    there = rng.random(values.shape) < kept
    return values[there], subject[there], prompt[there]


@pytest.mark.parametrize(
    "size",
    [
        (30, 25, 4, 0.1, 0.05),
        (50, 30, 1, 0.08, 0.08),
        (10, 10, 2, 0.1, 0.1),
        (20, 15, 2, 0.1, 0.1, 0.1, 0.5),
        (20, 20, 1, 0.0, 0.0),
        (20, 20, 1, 0.1, 0.0),
    ],
    ids=["dreambench", "styles", "few", "half is missing", "noise alone", "subjects alone"],
)
def test_intervals_hold_the_truth_in_92_to_98_of_100_benches(size):
    rng = np.random.default_rng(7)
    held = [interval(*simulated(rng, *size), draws=400, seed=n).holds(0.5) for n in range(200)]
    assert 0.92 <= np.mean(held) <= 0.98


def test_areas_hold_the_truth():
    rng = np.random.default_rng(3)
    held = []
    for seed in range(200):
        right, subject, prompt = simulated(rng, 20, 10, 1, 0.05, 0.05)
        wrong, _, _ = simulated(rng, 20, 10, 1, 0.05, 0.05)
        held.append(interval(placements(right, wrong), subject, prompt, (0, 1), draws=400, seed=seed).holds(0.5))
    assert 0.92 <= np.mean(held) <= 0.98


def test_areas_are_those_of_the_curve():
    rng = np.random.default_rng(0)
    right, wrong = rng.integers(0, 9, 40), rng.integers(0, 6, 40)
    expected = area(torch.tensor(right), torch.tensor(wrong))
    assert placements(right, wrong).mean() == pytest.approx(expected)
    assert placements([1.0], [0.0]).tolist() == [1.0]


def test_units_that_cannot_be_drawn():
    alone = interval([0.1, 0.3], ["cat", "cat"], ["a", "a"])
    assert (alone.mean, alone.low, alone.high, alone.count) == (pytest.approx(0.2), None, None, 2)
    rng = np.random.default_rng(1)
    values, subject, _ = simulated(rng, 12, 1, 3, 0.1, 0)
    one_way = interval(values, subject, np.zeros(len(values)))
    assert one_way == interval(values, np.zeros(len(values)), subject) == interval(values, subject, subject)
    assert one_way == interval(values, subject, list(zip(subject, range(len(values)), strict=True)))
    means = values.reshape(12, 3).mean(1)
    error = means.std(ddof=1) / 12**0.5
    assert one_way.high - one_way.low == pytest.approx(2 * 2.201 * error, rel=0.05)
    flat = interval([0.5] * 6, [1, 1, 2, 2, 3, 3], [1, 2] * 3)
    assert (flat.low, flat.high) == (0.5, 0.5)
    clipped = interval([1, 1, 0.9, 1], [1, 1, 2, 2], [1, 2, 1, 2], bounds=(0, 1))
    assert clipped.high == 1


def test_draws_are_seeded_and_quick():
    values, subject, prompt = simulated(np.random.default_rng(2), 50, 50, 4, 0.1, 0.1)
    began = time.process_time()
    found = interval(values, subject, prompt)
    assert found == interval(values, subject, prompt) and found != interval(values, subject, prompt, seed=1)
    assert found.count == 10_000 and time.process_time() - began < 6, "three of them, each under 2 s"
