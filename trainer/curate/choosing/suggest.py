"""Thresholds suggested from what people have decided, as an expression that can be pasted, with its yield."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch

from ....uso_model.errors import UserError
from ....uso_model.judging.roc import weighted_areas
from ...evaluate.statistics import Interval, interval
from ..decisions import Decision, decided
from ..pipeline import Progress
from ..where import Where, parse_where
from .cuts import Cut, Known, fitted, joined, spent

__all__ = ["known_of", "suggested"]

_LEAST = 10
"""Decisions of either kind."""
_PRICES = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
"""Of losing an accepted row, from few rejected ones left to many."""
_FOLDS = 5


def known_of(rows: Sequence[Progress], accept: Sequence[bool]) -> Known:
    """Return the scores of rows with a decision as arrays."""
    names = sorted({name for row in rows for name, value in row.scores.items() if isinstance(value, float)})
    scores = {name: np.array([row.scores.get(name, np.nan) for row in rows], float) for name in names}
    return Known(scores, np.array([row.row.layout for row in rows]), np.array(accept, bool))


def suggested(
    found: Sequence[Progress],
    decisions: Mapping[str, Decision],
    where: Where,
    precision: float | None = None,
    keep: float | None = None,
) -> Iterator[str]:
    """Yield the lines that say what fits the decisions.

    Args:
        found: all rows of a run.
        decisions: of people.
        where: an expression that is measured beside.
        precision: share of the rows an expression takes that people would accept; None: as many right as it can.
        keep: share of the accepted rows that it takes; None: as many right as it can.

    Raises:
        UserError: too few decisions, or a precision that is no share.
    """
    for option, share in (("precision", precision), ("keep", keep)):
        if share is not None and not 0 < share < 1:
            raise UserError(f"got --{option} {share:g}, expected a share between 0 and 1, such as .95")
    pairs = [(row, said) for row in found if (said := decided(row, decisions)) is not None and row.entries]
    accept = [said for _, said in pairs]
    if min(accept.count(True), accept.count(False)) < _LEAST:
        raise UserError(
            f"got {accept.count(True)} accepted and {accept.count(False)} rejected rows, expected {_LEAST} or more of "
            "either; decide on more in the page of `uso curate review`, and take them in with --decisions"
        )
    rows = [row for row, _ in pairs]
    known = known_of(rows, accept)
    keys = [row.row.key for row in rows]
    yield f"{len(rows)} decisions: {accept.count(True)} accepted, {accept.count(False)} rejected"
    yield from _alone(known)
    cuts = _cuts(known, precision, keep)
    text = " and ".join(map(str, cuts))
    if not cuts:
        yield "no score tells accepted rows from rejected ones; nothing is suggested"
        return
    yield "taken together, on the decisions that they are made of:"
    yield from _told(known, joined(cuts, known), keys)
    yield f"on decisions that they are not made of ({_FOLDS} parts in turn):"
    yield from _told(known, _held_out(known, keys, precision, keep), keys)
    complete = [row for row in found if row.standing == "complete"]
    yield from _yields(parse_where(text), complete)
    if where.text.strip():
        yield f"your expression, {where.text.strip()}:"
        yield from _told(known, np.array([where.holds(row.scores) for row in rows]), keys)
        yield from _yields(where, complete)
    yield f'--where "{text}"'


def _alone(known: Known) -> Iterator[str]:
    """Yield a line for each score that tells something, the best first."""
    told = []
    for name, values in known.scores.items():
        there = ~np.isnan(values)
        good, bad = values[there & known.accept], values[there & ~known.accept]
        if len(good) < 2 or len(bad) < 2:
            continue
        ones = (torch.ones(len(good), 1), torch.ones(len(bad), 1))
        area = float(weighted_areas(torch.from_numpy(good), torch.from_numpy(bad), *ones))
        told.append(
            (abs(area - 0.5), f"  {name:24s} {area:.3f}  {'high' if area >= 0.5 else 'low'} values are accepted")
        )
    yield "area under the ROC curve of each score alone (0.5: it tells nothing):"
    yield from (line for _, line in sorted(told, reverse=True)[:12])


def _cuts(known: Known, precision: float | None, keep: float | None) -> list[Cut]:
    """Return the cuts; of a wanted precision those that reach it and leave out the fewest accepted rows."""
    if precision is None:
        return fitted(known) if keep is None else spent(fitted(known), known, 1 - keep)
    cuts: list[Cut] = []
    for price in reversed(_PRICES):
        cuts = fitted(known, price)
        kept = joined(cuts, known)
        if kept.any() and known.accept[kept].mean() >= precision:
            break
    return cuts


def _held_out(known: Known, keys: Sequence[str], precision: float | None, keep: float | None) -> np.ndarray:
    """Return which rows cuts keep that are made of the rows of other pictures."""
    fold = np.array([int(hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()[:8], 16) for key in keys])
    fold %= _FOLDS
    kept = np.ones(len(keys), bool)
    for part in range(_FOLDS):
        others, these = known.some(fold != part), fold == part
        if others.accept.any() and not others.accept.all():
            kept[these] = joined(_cuts(others, precision, keep), known.some(these))
    return kept


def _told(known: Known, kept: np.ndarray, keys: Sequence[str]) -> Iterator[str]:
    good, bad = known.accept, ~known.accept
    parts = {
        "accepted rows that stay": (kept[good], good),
        "rejected rows left out": (~kept[bad], bad),
        "of the rows that stay accepted": (good[kept], kept),
    }
    for words, (values, rows) in parts.items():
        if len(values):
            units = [key for key, chosen in zip(keys, rows, strict=True) if chosen]
            yield f"  {words:32s} {_shown(interval(values, units, shares=True))}"


def _yields(where: Where, complete: Sequence[Progress]) -> Iterator[str]:
    if complete:
        holds = [where.holds(row.scores) for row in complete]
        told = _shown(interval(holds, [row.row.key for row in complete], shares=True))
        yield f"  yield of {len(complete)} complete rows       {told}"


def _shown(found: Interval) -> str:
    between = "" if found.low is None or found.high is None else f" ({found.low:.1%} to {found.high:.1%})"
    return f"{found.mean:.1%}{between}"
