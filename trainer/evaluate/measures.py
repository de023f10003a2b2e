"""Measures: a judge, what is taken of its features and of a row, and the card that says how to read the number."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ...uso_model.judging.copying import style_leak
from ...uso_model.judging.judge import Judge, TextJudge
from .features import Describer, TextDescriber, texts, whole
from .scores import MeasureCard
from .view import View

__all__ = ["Measure", "Values", "standard_measures"]

Values = Mapping[str, float | None]
"""Column to number; None where the measure has no meaning for the row."""


@dataclass(frozen=True)
class Measure:
    """A column of a report. A protocol may bring its own."""

    card: MeasureCard
    of: Callable[[View], Values]
    """The numbers of one picture, by the card's columns."""
    needs: tuple[Describer, ...] = ()
    """How pictures and references have to be looked at."""
    texts: TextDescriber | None = None
    """Who reads the prompts."""


def standard_measures(judges: Sequence[Judge], device: torch.device | str = "cpu") -> list[Measure]:
    """Return the measures that follow from judges.

    A judge of styles gives the cosine to the style reference that was fed, one of subjects the mean cosine to all
    pictures of the subject (DreamBooth's protocol: Ruiz et al. 2023, section 4.1). CLIP gives `clip_i`, `clip_t` and
    `leak`.
    """
    found: list[Measure] = []
    for judge in judges:
        seen = whole(judge, device)
        name, sees = judge.card.name, judge.card.sees
        if "subject" in sees:
            found.append(_subject("clip_i" if name == "clip" else name, seen, alone=len(sees) == 1 or name == "clip"))
        if "style" in sees:
            found.append(_style(name, seen, alone="subject" not in sees))
        if "text" in sees and isinstance(judge, TextJudge):
            found.append(_text("clip_t" if name == "clip" else f"{name}_text", seen, texts(judge)))
        if name == "clip":
            found.append(_leak(seen))
    return found


def _subject(name: str, seen: Describer, alone: bool) -> Measure:
    column = name if alone else f"{name}_subject"

    def of(view: View) -> Values:
        keys = view.row.against_subject
        if not keys:
            return {column: None}
        return {column: _mean_cosine(view, seen.name, keys)}

    return Measure(MeasureCard(name=column, judge=seen.name, sees="subject", columns=[column]), of, (seen,))


def _style(name: str, seen: Describer, alone: bool) -> Measure:
    column = name if alone else f"{name}_style"

    def of(view: View) -> Values:
        key = view.row.style
        return {column: None if key is None else _mean_cosine(view, seen.name, [key])}

    return Measure(MeasureCard(name=column, judge=seen.name, sees="style", columns=[column]), of, (seen,))


def _text(column: str, seen: Describer, reader: TextDescriber) -> Measure:
    """Cosine of picture and prompt, not below 0 (Hessel et al. 2021, "CLIPScore", eq. 1, with w = 1 as UNO has it)."""

    def of(view: View) -> Values:
        if not view.row.prompt.strip():
            return {column: None}
        return {column: max(0.0, float(view.drawn(seen.name) @ view.prompt(reader.name)))}

    card = MeasureCard(name=column, judge=seen.name, sees="text", columns=[column])
    return Measure(card, of, (seen,), reader)


def _leak(seen: Describer) -> Measure:
    """What of the style picture's content is in the drawing: its CLIP-I less its mean over the bench's other styles."""

    def of(view: View) -> Values:
        row = view.row
        others = [key for name, keys in view.references.styles.items() if name != row.style_name for key in keys]
        if row.style is None or not others:
            return {"leak": None}
        drawn = torch.from_numpy(view.drawn(seen.name))[None]
        styles = torch.from_numpy(view.references.stack(seen.name, [row.style, *others]))
        return {"leak": style_leak(drawn, styles, torch.zeros(1, dtype=torch.long)).item()}

    card = MeasureCard(name="leak", judge=seen.name, sees="leak", better="lower", columns=["leak"])
    return Measure(card, of, (seen,))


def _mean_cosine(view: View, describer: str, keys: Sequence[str]) -> float:
    return float(np.mean(view.references.stack(describer, keys) @ view.drawn(describer)))
