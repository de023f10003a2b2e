"""Cases of the bench: held-out triplets of the procedural world, and a stranger to each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from ..world import Triplet, render_photo, sample_scene, sample_triplet

__all__ = ["CASES_SEED", "Case", "cases"]

CASES_SEED = 424_242
"""Of the held-out cases, the same for every row and seed."""


@dataclass(frozen=True)
class Case:
    """A triplet to be drawn, rendered, and a photo of another individual of the same class."""

    triplet: Triplet
    target: Image.Image
    style: Image.Image
    content: Image.Image
    stranger: Image.Image


def cases(count: int, seed: int, held_out: bool = True, beyond: bool = False) -> list[Case]:
    """Return triplets, every second one with its layout kept.

    Args:
        count: how many.
        seed: the same seed gives the same cases.
        held_out: take styles and classes that no training triplet shows; False: take those of training, on which
            settings may be chosen.
        beyond: take style parameters from outside the ranges that all networks but the judges have seen.
    """
    rng = np.random.default_rng([seed, held_out, beyond])
    found = []
    for number in range(count):
        triplet = sample_triplet(rng, "preserved" if number % 2 == 0 else "shifted", held_out, beyond=beyond)
        stranger = render_photo(sample_scene(rng, triplet.target.subject))
        found.append(Case(triplet, *(Image.fromarray(part) for part in (*triplet.render(), stranger))))
    return found
