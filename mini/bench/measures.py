"""Measures of USO-mini's bench: what its judges see of a drawing, in a world that knows what is right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypeVar

import numpy as np
import torch

from ...trainer.evaluate.features import Describer, whole
from ...trainer.evaluate.measures import Measure, Values
from ...trainer.evaluate.pixels import LAYOUT
from ...trainer.evaluate.scores import MeasureCard
from ...trainer.evaluate.view import View
from ...uso_model.errors import UserError
from ...uso_model.judging.judge import Judge
from ...uso_model.untrusted import quoted
from ..judges.networks import TRAITS
from ..world import SUBJECTS

__all__ = ["mini_measures"]

CAPTIONED = (0, 1, 2, 4)
"""Traits that captions name; the accent is in none."""

SAYS = {
    "style": "share of pictures whose style the style judge names, among all styles of the world and photos",
    "likeness": "cosine to the style reference, by the descriptor that the style reward trains on",
    "identity": "chance that a picture is closer to its content photo than another to a stranger of its class; .5 is "
    "guessing",
    "resemblance": "cosine of the identity judge to the content photo",
    "text": "share of class, two colours and marking that the identity judge names as they should be",
    "leak": "share of pictures in which the judge sees the class that the style reference shows",
    "copied": "correlation of layout with the style reference",
}
"""What the measures are, for readers of a report."""

_AGAIN = "build the bench mini_bench again"
Fact = TypeVar("Fact", int, str, list)
_SHARE, _COSINE = (0.0, 1.0), (-1.0, 1.0)
_CUTS = np.cumsum(TRAITS)[:-1]


def mini_measures(judges: Sequence[Judge], device: torch.device | str = "cpu") -> list[Measure]:
    """Return the measures of USO-mini's four judges, and of copying.

    Args:
        judges: of mini.judges.vectors; others are left to the measures of every bench.
        device: where they run.
    """
    known = {judge.card.name: whole(judge, device) for judge in judges}
    wanted = {
        "mini_style": (_style,),
        "mini_descriptor": (_likeness,),
        "mini_identity": (_identity, _resemblance),
        "mini_traits": (_text, _leak),
    }
    found = [make(known[name]) for name, makers in wanted.items() if name in known for make in makers]
    return [*found, _copied()]


def _style(seen: Describer) -> Measure:
    def of(view: View) -> Values:
        right = _fact(view, "style", "name", int)
        return {"style": float(view.drawn(seen.name).argmax() == right) if view.row.against_style else None}

    return Measure(_card("style", seen, "style"), of, (seen,))


def _likeness(seen: Describer) -> Measure:
    def of(view: View) -> Values:
        return {"likeness": _cosine(view, seen, view.row.against_style)}

    return Measure(_card("likeness", seen, "style"), of, (seen,))


def _identity(seen: Describer) -> Measure:
    def of(view: View) -> Values:
        row = view.row
        return {"own": _cosine(view, seen, row.against_subject), "stranger": _cosine(view, seen, row.strangers)}

    card = _card("identity", seen, "subject")
    return Measure(card.model_copy(update={"aggregate": "area", "columns": ["own", "stranger"]}), of, (seen,))


def _resemblance(seen: Describer) -> Measure:
    def of(view: View) -> Values:
        return {"resemblance": _cosine(view, seen, view.row.against_subject)}

    return Measure(_card("resemblance", seen, "subject"), of, (seen,))


def _text(seen: Describer) -> Measure:
    def of(view: View) -> Values:
        named, right = _named(view, seen), _fact(view, "subject", "traits", list)
        if len(right) != len(TRAITS):
            raise UserError(f"row {view.row.id} names {len(right)} traits, expected {len(TRAITS)}; {_AGAIN}")
        return {"text": float(np.mean([named[number] == right[number] for number in CAPTIONED]))}

    return Measure(_card("text", seen, "text"), of, (seen,))


def _leak(seen: Describer) -> Measure:
    def of(view: View) -> Values:
        right = _fact(view, "style", "shows", str)
        return {"leak": float(SUBJECTS[_named(view, seen)[0]] == right) if view.row.against_style else None}

    return Measure(_card("leak", seen, "leak", "lower"), of, (seen,))


def _copied() -> Measure:
    def of(view: View) -> Values:
        return {"copied": _cosine(view, LAYOUT, view.row.against_style)}

    card = _card("copied", LAYOUT, "copying", "lower")
    return Measure(card.model_copy(update={"judge": None}), of, (LAYOUT,))


def _card(name: str, seen: Describer, sees: Any, better: Literal["higher", "lower"] = "higher") -> MeasureCard:
    bounds = _COSINE if name in ("likeness", "resemblance", "copied") else _SHARE
    return MeasureCard(
        name=name, says=SAYS[name], judge=seen.name, sees=sees, better=better, columns=[name], bounds=bounds
    )


def _fact(view: View, part: str, name: str, kind: type[Fact]) -> Fact:
    """Return what a row says of its subject or style.

    Raises:
        UserError: it does not say it, or something else in its place.
    """
    facts = view.row.facts.get(part)
    value = facts.get(name) if isinstance(facts, dict) else None
    if not isinstance(value, kind):
        raise UserError(
            f"row {view.row.id} has {quoted(value)} for the {name} of its {part}, expected {kind.__name__}; {_AGAIN}"
        )
    return value


def _cosine(view: View, seen: Describer, keys: Sequence[str]) -> float | None:
    """Return the cosine to the only picture of a kind that a row has, None where references are exchanged away."""
    return float(view.drawn(seen.name) @ view.reference(seen.name, keys[0])) if keys else None


def _named(view: View, seen: Describer) -> list[int]:
    """Return the number of each trait that the judge sees."""
    return [int(part.argmax()) for part in np.split(view.drawn(seen.name), _CUTS)]
