"""How vectors become likenesses: the raw cosine, and CSLS, which takes hubs down."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["cosine", "csls"]


def cosine(a: Tensor, b: Tensor) -> Tensor:
    """Return the cosines of all pairs, `n m`, of vectors `n D` and `m D`."""
    return F.normalize(a.float(), dim=-1) @ F.normalize(b.float(), dim=-1).T


def csls(similarity: Tensor, k: int = 10, own: bool = False) -> Tensor:
    """Return cosines less the density around either end, `n m`: 2 cos(x, y) - r(x) - r(y).

    r is the mean cosine with the k nearest of the other set. Pictures that are near to everything (hubs) come down.
    Source: Conneau et al. 2018, "Word Translation Without Parallel Data", section 2.3.

    Args:
        similarity: cosines `n m`.
        k: neighbours; all of them where there are fewer.
        own: both sides are the same pictures in the same order, and none is a neighbour of itself.
    """
    near = similarity
    if own:
        near = similarity.masked_fill(
            torch.eye(len(similarity), dtype=torch.bool, device=similarity.device), -torch.inf
        )
    rows, columns = near.shape[1] - own, near.shape[0] - own
    if min(rows, columns) < 1:
        return torch.full_like(similarity, torch.nan)
    of_rows = near.topk(min(k, rows), dim=1).values.mean(dim=1, keepdim=True)
    of_columns = near.topk(min(k, columns), dim=0).values.mean(dim=0, keepdim=True)
    return 2 * similarity - of_rows - of_columns
