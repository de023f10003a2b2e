"""Intervals hold the truth as often as they say, and areas are those of the ROC curve."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from comfyui_uso.trainer.evaluate.statistics import interval, placements
from comfyui_uso.uso_model.judging.roc import area
from scipy.stats import binomtest

from ...machine import at_most


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


@pytest.mark.parametrize("kept", [1, 0.3])
def test_intervals_of_three_units_hold_the_truth(kept):
    rng = np.random.default_rng(1)
    subject, style, prompt = (axis.ravel() for axis in np.meshgrid(range(12), range(12), range(8), indexing="ij"))
    held, two = [], []
    for _ in range(200):
        values = 0.3 + rng.normal(0, 0.05, 12)[subject] + rng.normal(0, 0.02, 12)[style]
        values += rng.normal(0, 0.02, 8)[prompt] + rng.normal(0, 0.05, len(subject))
        there = rng.random(len(subject)) < kept
        units = [unit[there] for unit in (style, prompt, subject)]
        held.append(interval(values[there], *units, draws=100).holds(0.3))
        two.append(interval(values[there], *units[:2], draws=100).holds(0.3))
    assert 0.92 <= np.mean(held) <= 0.98 and np.mean(two) < 0.8, "who leaves out subjects is too sure"


@pytest.mark.parametrize("share", [0.05, 0.5, 0.95])
@pytest.mark.parametrize(("subjects", "each", "alike"), [(24, 1, 0), (6, 4, 0), (24, 25, 0.1)])
def test_shares_hold_the_truth_at_few_units(share, subjects, each, alike):
    rng = np.random.default_rng(5)
    subject, prompt = np.repeat(range(subjects), each), np.tile(range(each), subjects)
    held = []
    for _ in range(200):
        chance = rng.beta(share * (1 / alike - 1), (1 - share) * (1 / alike - 1), subjects) if alike else share
        values = rng.random(len(subject)) < np.broadcast_to(chance, subjects)[subject]
        held.append(interval(values, subject, prompt, bounds=(0, 1), shares=True).holds(share))
    assert np.mean(held) >= 0.92, "may be too careful"


def test_shares_have_exact_bounds():
    six = interval([1] * 6, "abcdef", "uvwxyz", bounds=(0, 1), shares=True)
    assert (six.mean, six.low, six.high) == (1, pytest.approx(0.541, abs=1e-3), 1)
    none = interval([0] * 12, list("abc") * 4, np.repeat(range(4), 3), shares=True)
    assert (none.low, none.high) == (0, pytest.approx(0.708, abs=1e-3)), "three subjects, however many prompts"
    seven = interval([1] * 7 + [0] * 17, range(24), [0] * 24, shares=True)
    exact = binomtest(7, 24).proportion_ci()
    assert (seven.low, seven.high) == (pytest.approx(exact.low, abs=0.01), pytest.approx(exact.high, abs=0.01))
    ties = interval([0.5] * 6, "abcdef", "uvwxyz", shares=True)
    assert (ties.mean, ties.low, ties.high) == (0.5, None, None)
    other = interval([0.2, 0.4, 0.3], "abc", "uvw", shares=True)
    assert other == interval([0.2, 0.4, 0.3], "abc", "uvw"), "no answers of yes or no"


def test_areas_hold_the_truth():
    rng = np.random.default_rng(3)
    held = []
    for seed in range(200):
        right, subject, prompt = simulated(rng, 20, 10, 1, 0.05, 0.05)
        wrong, _, _ = simulated(rng, 20, 10, 1, 0.05, 0.05)
        held.append(interval(placements(right, wrong), subject, prompt, bounds=(0, 1), draws=400, seed=seed).holds(0.5))
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
    assert (flat.low, flat.high) == (None, None), "no spread says nothing of others"
    clipped = interval([1, 1, 0.9, 1], [1, 1, 2, 2], [1, 2, 1, 2], bounds=(0, 1))
    assert clipped.high == 1


def test_draws_are_seeded_and_quick():
    values, subject, prompt = simulated(np.random.default_rng(2), 50, 50, 4, 0.1, 0.1)
    style = np.arange(len(values)) % 37
    with at_most(3 * 2):
        found = interval(values, subject, prompt, style)
        assert found == interval(values, subject, prompt, style) != interval(values, subject, prompt, style, seed=1)
    assert found.count == 10_000
