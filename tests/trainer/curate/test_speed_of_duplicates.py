"""Near duplicates of 200,000 pictures take less than ten minutes."""

from __future__ import annotations

import time

import numpy as np
import pytest
from comfyui_uso.trainer.curate.choosing.duplicates import leaders

from ...machine import at_most

COUNT, WANTED = 20_000, 200_000


@pytest.mark.long
@pytest.mark.parametrize("numbers", [64, 768])
def test_the_work_of_a_large_set(numbers: int) -> None:
    vectors = np.random.default_rng(0).standard_normal((COUNT, numbers), np.float32)
    vectors[COUNT // 2 : COUNT // 2 + 2000] = vectors[:2000]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    with at_most(600 * (COUNT / WANTED) ** 2, time.perf_counter):  # the work grows with the square
        found = leaders(vectors, 0.97)
    assert (found != np.arange(COUNT)).sum() == 2000
