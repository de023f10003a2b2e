"""Measure the bundled network, on the cases of the row `shipped` or on others like them."""

from __future__ import annotations

from collections.abc import Sequence

from ..bench.cases import CASES_SEED, cases
from ..bench.drawer import draw_with
from ..bench.rows import MODES
from ..judges.vectors import read_judges
from ..model import load_mini
from .measure import measure
from .plan import load_plan

__all__ = ["measure_bundled"]


def measure_bundled(
    count: int | None = None, seed: int | None = None, modes: Sequence[str] = MODES
) -> dict[str, dict[str, float]]:
    """Draw held-out cases with the bundled weights, as plan `mini` draws them, and return the bundled judges' numbers.

    Args:
        count: how many cases; None: as many as plan `mini` has.
        seed: of the cases; None: that of the row.
        modes: names of MODES.

    Returns:
        What `measure` returns.
    """
    plan = load_plan("mini")
    of = cases(count or plan.cases, CASES_SEED if seed is None else seed)
    return measure(draw_with(load_mini(), plan.sample_steps, plan.cfg), read_judges(), of, modes)
