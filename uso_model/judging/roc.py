"""The area under the ROC curve: how surely a number tells two kinds of pairs apart."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["area", "weighted_areas"]


def area(right: Tensor, wrong: Tensor) -> float:
    """Return the area under the ROC curve: the chance that a score of the first set exceeds one of the second.

    Source: Hanley and McNeil 1982, "The meaning and use of the area under a ROC curve"; ties count half.
    """
    difference = right[:, None] - wrong[None]
    return float((difference > 0).float().mean()) + 0.5 * float((difference == 0).float().mean())


def weighted_areas(right: Tensor, wrong: Tensor, right_weights: Tensor, wrong_weights: Tensor) -> Tensor:
    """Return `area` of scores that count several times or not at all, `d`, NaN where all of a set count nothing.

    Each column of weights is a bootstrap draw. Scores are sorted once for all of them.

    Args:
        right: scores, `n`.
        wrong: scores, `m`.
        right_weights: `n d`.
        wrong_weights: `m d`.
    """
    ordered, order = wrong.sort()
    below, not_above = (torch.searchsorted(ordered, right, right=side) for side in (False, True))
    summed = torch.cat([wrong_weights.new_zeros(1, wrong_weights.shape[1]), wrong_weights[order].cumsum(dim=0)])
    beaten = (right_weights * (summed[below] + summed[not_above])).double().sum(dim=0) / 2
    return beaten / (right_weights.double().sum(dim=0) * summed[-1].double())
