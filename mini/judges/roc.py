"""The area under the ROC curve, by which verification of individuals is judged."""

from __future__ import annotations

from torch import Tensor

__all__ = ["area"]


def area(right: Tensor, wrong: Tensor) -> float:
    """Return the area under the ROC curve: the chance that a score of the first set exceeds one of the second.

    Source: Hanley and McNeil 1982, "The meaning and use of the area under a ROC curve"; ties count half.
    """
    difference = right[:, None] - wrong[None]
    return float((difference > 0).float().mean()) + 0.5 * float((difference == 0).float().mean())
