"""What a user sets about reusing references."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["FORMS", "Form", "ReuseSettings"]

Form = Literal["corrected", "linear", "hold"]
FORMS: tuple[Form, ...] = ("corrected", "linear", "hold")


@dataclass(frozen=True, kw_only=True)
class ReuseSettings:
    """When references are computed, and what stands in for them on the steps between."""

    every: int
    """Steps from one refresh to the next; with a tolerance the most steps."""
    form: Form = "corrected"
    """linear: extrapolated in time from the last two refreshes; corrected: so, with a slope that makes up for a part of
    the last error; hold: as at the last one."""
    first: int = 1
    """Steps at the start that are exact."""
    last: int = 0
    """Steps at the end that are exact."""
    tolerance: float = 0.0
    """Relative error of values beyond which references are computed before `every` asks for it; 0: no such bound."""

    @property
    def depth(self) -> int:
        """Refreshes that are kept."""
        return 1 if self.form == "hold" else 2
