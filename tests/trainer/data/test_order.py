"""The order of rows."""

from __future__ import annotations

from collections import Counter

import pytest
from comfyui_uso.trainer.data.order import BatchOrder


def order(count=10, shares=None, groups=None, shapes=None, batch_size=4, run=1, seed=0):
    return BatchOrder(groups or [range(count)], shares, shapes or [0] * count, batch_size, run, seed)


def epochs(found, count, number=3):
    rows = [row for step in range(-(-count * number // found._batch_size)) for row in found.rows(step)]
    return [rows[i * count : (i + 1) * count] for i in range(number)]


@pytest.mark.parametrize("batch_size", [1, 3, 4, 25])
def test_every_epoch_has_every_row_once_in_another_order(batch_size):
    first, second, third = epochs(order(batch_size=batch_size), 10)
    assert sorted(first) == sorted(second) == sorted(third) == list(range(10))
    assert first != second != third != first


def test_a_step_depends_on_nothing_but_seed_and_step():
    forwards, backwards = order(), order()
    steps = [forwards.rows(step) for step in range(30)]
    assert steps == [backwards.rows(step) for step in reversed(range(30))][::-1]
    assert steps != [order(seed=1).rows(step) for step in range(30)]


def test_the_batch_size_cuts_one_sequence():
    small, large = order(batch_size=2), order(batch_size=6)
    assert [r for step in range(30) for r in small.rows(step)] == [r for step in range(10) for r in large.rows(step)]


@pytest.mark.parametrize("count", [37, 64, 5])
def test_rows_of_one_shape_stand_together(count):
    """Micro-batches of mixed shapes come from the few rows that are left over of each shape, and from no others."""
    run, shapes = 4, [row % 3 for row in range(count)]
    found = order(count, shapes=shapes, batch_size=8, run=run)
    micro = [found.rows(step)[i : i + run] for step in range(60) for i in (0, run)]
    mixed = sum(len({shapes[row] for row in rows}) > 1 for rows in micro)
    left = sum(shapes.count(shape) % run for shape in set(shapes))
    passed = 60 * 8 / count
    assert mixed <= (left / run + 2) * passed
    assert (mixed < len(micro) / 2) == (count > 5)


@pytest.mark.parametrize("count", [37, 64])
def test_runs_do_not_lose_rows(count):
    shapes = [row % 3 for row in range(count)]
    for epoch in epochs(order(count, shapes=shapes, batch_size=8, run=4), count):
        assert sorted(epoch) == list(range(count))


@pytest.mark.parametrize(("share", "preserved"), [(0.0, 0), (0.25, 3), (0.75, 9), (1.0, 12)])
def test_a_share_is_kept_in_every_epoch(share, preserved):
    groups = [list(range(2)), list(range(2, 12))]
    for epoch in epochs(order(12, [share, 1 - share], groups), 12):
        counts = Counter(row < 2 for row in epoch)
        assert counts[True] == preserved
        of_few = Counter(row for row in epoch if row < 2)
        assert max(of_few.values(), default=0) - min(of_few.values(), default=0) <= 1
