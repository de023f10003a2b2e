"""Strengths of several models from who wins over whom."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

__all__ = ["strengths"]

_ALPHA = 0.01
"""Of regularisation: a model that has never lost would be infinitely strong."""


def strengths(names: Sequence[str], wins: Iterable[tuple[str, str, float]]) -> dict[str, float]:
    """Return the strength of each model, whose mean is 0, by the model of Bradley and Terry (1952), the best first.

    The difference of two strengths is the logarithm of the odds with which one wins over the other. Computed by choix:
    Maystre and Grossglauser 2015, "Fast and Accurate Inference of Plackett-Luce Models".

    Args:
        names: of the models.
        wins: winner, loser, and how much it counts; an even pair counts half in both directions.
    """
    import choix  # only for three models or more

    number = {name: place for place, name in enumerate(names)}
    counts = np.zeros((len(names), len(names)))
    for winner, loser, weight in wins:
        counts[number[winner], number[loser]] += weight
    found = choix.ilsr_pairwise_dense(counts, alpha=_ALPHA)
    found = found - found.mean()
    return {names[place]: float(found[place]) for place in np.argsort(-found)}
