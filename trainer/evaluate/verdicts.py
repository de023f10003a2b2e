"""Whether each measure tells apart, on the bench's own references, what it claims to see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from ...uso_model.judging.discrimination import discriminate
from ...uso_model.judging.readout import cosine
from .measures import Measure
from .scores import MeasureCard
from .view import References

__all__ = ["with_verdicts"]

_MOST = 250
"""Pictures of a verdict; pairs grow with their square."""


def with_verdicts(measures: Sequence[Measure], references: References) -> list[MeasureCard]:
    """Return the measures' cards, those that cannot tell styles, or subjects, apart with the sentence that says so.

    Nothing is said of measures that see something else, and of benches that have no two styles, or subjects, with
    several pictures.
    """
    return [measure.card.model_copy(update={"cannot": _cannot(measure, references)}) for measure in measures]


def _cannot(measure: Measure, references: References) -> str | None:
    what = measure.card.sees
    if measure.card.cannot or len(measure.needs) != 1 or (what != "style" and what != "subject"):
        return measure.card.cannot
    groups: Mapping[str, list[str]] = references.styles if what == "style" else references.subjects
    labelled = [(name, key) for name, keys in groups.items() if len(keys) > 1 for key in keys]
    if len({name for name, _ in labelled}) < 2:
        return None
    labels = [name for name, _ in labelled]
    vectors = np.stack([references.of(measure.needs[0].name, key) for _, key in labelled])
    if vectors.ndim != 2:
        return None
    likeness = cosine(torch.from_numpy(vectors), torch.from_numpy(vectors))
    # What else the pictures have in common is not known: each counts as a subject, or a style, of its own.
    alone = [str(number) for number in range(len(labels))]
    styles, subjects = (labels, alone) if what == "style" else (alone, labels)
    return discriminate(likeness, styles, subjects, most=_MOST).cannot(what)
