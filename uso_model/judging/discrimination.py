"""Whether a measure tells styles apart, or subjects, on a labelled set of pictures, and how sure that is."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from ..errors import UserError
from .roc import weighted_areas

__all__ = ["CHANCE", "Area", "Discrimination", "discriminate", "least_apart", "short"]

CHANCE = 0.5
LEAST_DRAWS_WITH_PAIRS = 0.1
"""Share of the bootstrap draws that must have pairs of both kinds; below it there is no interval."""
FEWEST = 6
"""Styles, or subjects, that are drawn anew by the bootstrap; fewer are taken as given."""
_AT_ONCE = 4_000_000
"""Weights in memory at a time."""


class Area(NamedTuple):
    """An area under the ROC curve with its 95 % interval; NaN where there are no pairs to compare."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        if self.low != self.low:
            return f"AUC {short(self.value)}, no interval"
        return f"AUC {short(self.value)}, {short(self.low)} to {short(self.high)}"

    @property
    def is_chance(self) -> bool:
        """Whether the measure cannot be told from a coin, or is worse than one."""
        return not self.low > CHANCE


class Discrimination(NamedTuple):
    """What a measure tells apart on one set."""

    style: Area
    """Of pairs in one style against pairs in two; the subjects of a pair always differ."""
    subject: Area
    """Of pairs of one subject against pairs of two; the styles of a pair always differ."""
    pictures: int
    without_value: int
    """Pairs whose likeness is no finite number; they are left out."""

    def cannot(self, what: Literal["style", "subject"]) -> str | None:
        """Return the sentence that has to stand beside every number of this measure, None where it needs none.

        It is that the measure tells nothing apart, or that it sees the other thing more surely (disjoint intervals).
        """
        other: Literal["style", "subject"] = "subject" if what == "style" else "style"
        found: Area = getattr(self, what)
        instead: Area = getattr(self, other)
        if found.value != found.value:
            return f"cannot tell {what}s apart here (no pairs to compare)"
        if found.is_chance:
            return f"cannot tell {what}s apart here ({found})"
        if instead.low > found.high:
            return f"tells {other}s apart rather than {what}s here ({other} {instead}; {what} {found})"
        return None


def discriminate(
    similarity: Tensor,
    styles: Sequence[str],
    subjects: Sequence[str],
    draws: int = 1000,
    seed: int = 0,
    most: int = 1000,
) -> Discrimination:
    """Measure what a similarity tells apart: the areas under the ROC curve, with bootstrap intervals.

    Pairs that share a picture, a style or a subject are not independent, so the intervals (95 %, percentiles) come from
    drawing whole styles and whole subjects, both at once: Owen 2007, "The pigeonhole bootstrap". A pair weighs as often
    as its clusters were drawn: the product where they differ, once for each copy where both ends lie in one. Fewer than
    6 styles (or subjects) are taken as given, since 3 can be drawn in 10 ways only: the answer then holds for these.

    Args:
        similarity: of all pairs, `n n`; for vectors see `readout.cosine`. Only what lies above the diagonal is read.
        styles: of the pictures, `n`.
        subjects: of the pictures, `n`.
        draws: of the bootstrap; without any there is no interval.
        seed: of the bootstrap.
        most: a larger set is thinned to so many pictures, chosen by the seed.

    Raises:
        UserError: not one label of each kind for each picture.
    """
    count = len(similarity)
    if similarity.shape != (count, count) or len(styles) != count or len(subjects) != count:
        raise UserError(
            f"got likenesses of shape {tuple(similarity.shape)}, {len(styles)} styles and {len(subjects)} subjects; "
            "expected a square with one style and one subject for each row; give every picture both labels"
        )
    generator = torch.Generator().manual_seed(seed)
    kept = torch.randperm(count, generator=generator)[:most].sort().values if count > most else torch.arange(count)
    style, subject = (_numbered([labels[i] for i in kept.tolist()]) for labels in (styles, subjects))
    first, second = torch.triu_indices(len(kept), len(kept), 1)
    values = similarity.detach().cpu()[kept[first], kept[second]].double()
    finite = values.isfinite()
    first, second, values = first[finite], second[finite], values[finite]
    by_style, by_subject = (_draws(labels, draws, generator) for labels in (style, subject))

    def measured(of: Tensor, other: Tensor, of_draws: Tensor, other_draws: Tensor) -> Area:
        apart = other[first] != other[second]
        same = of[first] == of[second]
        kinds = [
            (values[chosen], of[first[chosen]], of[second[chosen]], other[first[chosen]], other[second[chosen]])
            for chosen in (apart & same, apart & ~same)
        ]
        (right, *_), (wrong, *_) = kinds
        if not (len(right) and len(wrong)):
            return Area(*(float("nan"),) * 3)
        found = []
        for part in torch.arange(draws + 1).split(max(1, _AT_ONCE // len(values))):
            of_part, other_part = of_draws[:, part], other_draws[:, part]
            weights = []
            for of_same, (_, a, b, c, d) in zip((True, False), kinds, strict=True):
                within = of_part[a] if of_same else of_part[a] * of_part[b]
                weights.append(within * other_part[c] * other_part[d])
            found.append(weighted_areas(right, wrong, *weights))
        value, *drawn = torch.cat(found).tolist()
        told = torch.tensor(drawn)[~torch.tensor(drawn).isnan()]
        if not draws or len(told) < LEAST_DRAWS_WITH_PAIRS * draws:
            return Area(value, float("nan"), float("nan"))
        low, high = told.quantile(torch.tensor([0.025, 0.975])).tolist()
        return Area(value, low, high)

    return Discrimination(
        measured(style, subject, by_style, by_subject),
        measured(subject, style, by_subject, by_style),
        len(kept),
        int((~finite).sum()),
    )


def least_apart(similarity: Tensor, styles: Sequence[str], subjects: Sequence[str]) -> tuple[str, str, float] | None:
    """Return the two styles that a similarity tells apart the least, and by what area; None where there are no pairs.

    Takes what `discriminate` takes. An area over many styles can hide two that are one to the measure.
    """
    found = []
    for pair in combinations(dict.fromkeys(styles), 2):
        chosen = [number for number, style in enumerate(styles) if style in pair]
        part = similarity[chosen][:, chosen]
        labels = [styles[i] for i in chosen], [subjects[i] for i in chosen]
        value = discriminate(part, *labels, draws=0).style.value
        if value == value:
            found.append((*pair, value))
    return min(found, key=lambda one: one[2], default=None)


def _numbered(labels: Sequence[str]) -> Tensor:
    numbers = {label: number for number, label in enumerate(dict.fromkeys(labels))}
    return torch.tensor([numbers[label] for label in labels], dtype=torch.long)


def _draws(labels: Tensor, draws: int, generator: torch.Generator) -> Tensor:
    """Return how often each cluster is drawn, `clusters 1 + draws`; the first column has each once."""
    clusters = int(labels.max()) + 1 if len(labels) else 0
    if clusters < FEWEST:
        return torch.ones(clusters, 1 + draws)
    drawn = torch.randint(clusters, (clusters, draws), generator=generator)
    counts = torch.zeros(clusters, draws).scatter_add_(0, drawn, torch.ones(clusters, draws))
    return torch.cat([torch.ones(clusters, 1), counts], dim=1)


def short(value: float) -> str:
    """Return a share as it is printed: .52."""
    return f"{value:.2f}".removeprefix("0")
