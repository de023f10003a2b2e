"""Thresholds that tell rows which people accepted from those that they rejected."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

__all__ = ["Cut", "Known", "fitted", "joined", "spent"]

_LEAST_GAIN, _LEAST_ROWS = 0.01, 2
"""What one more cut must bring: a share of balanced accuracy, and rejected rows that no other cut finds."""
_MOST_CUTS, _ROUNDS = 12, 3


@dataclass(frozen=True)
class Known:
    """Rows with a decision."""

    scores: dict[str, np.ndarray]
    """Of each score its values, `n`; NaN where a row lacks it."""
    layouts: np.ndarray
    """`n` names."""
    accept: np.ndarray
    """`n` booleans."""

    def some(self, rows: np.ndarray) -> Known:
        """Return the rows of a mask."""
        scores = {name: values[rows] for name, values in self.scores.items()}
        return Known(scores, self.layouts[rows], self.accept[rows])


@dataclass(frozen=True)
class Cut:
    """A threshold of one score, for all rows or for those of one layout."""

    score: str
    least: bool
    """Whether values below it are left out, else those above it."""
    value: float
    layout: str = ""

    def keeps(self, known: Known) -> np.ndarray:
        """Return which rows stay, `n`; one that lacks the score does not."""
        values = known.scores[self.score]
        inside = values >= self.value if self.least else values <= self.value
        return inside | (known.layouts != self.layout) if self.layout else inside

    def __str__(self) -> str:
        short = f"{self.value:g}"
        number = short if float(short) == self.value else repr(self.value)
        text = f"{self.score}{'>=' if self.least else '<='}{number}"
        return f"(layout!='{self.layout}' or {text})" if self.layout else text


def joined(cuts: Sequence[Cut], known: Known) -> np.ndarray:
    """Return which rows all cuts keep, `n`."""
    kept = np.ones(len(known.accept), bool)
    for cut in cuts:
        kept &= cut.keeps(known)
    return kept


def fitted(known: Known, price: float = 1.0) -> list[Cut]:
    """Return cuts whose conjunction leaves out as many rejected rows and as few accepted ones as it can.

    Cut by cut is added, each where the share of rejected rows that it leaves out besides, less `price` times that of
    accepted ones, is largest; afterwards each gives way to the best one beside the others, of any score. With a price
    of 1 that is balanced accuracy. A greedy set cover with local search: Chvatal 1979, "A Greedy Heuristic for the
    Set-Covering Problem".

    Args:
        known: with accepted and rejected rows.
        price: of losing all accepted rows, in units of leaving out all rejected ones.
    """
    cuts = _more(known, [], price)
    for _ in range(_ROUNDS):
        before = list(cuts)
        for cut in before:
            others = [other for other in cuts if other is not cut]
            cuts = _more(known, others, price, len(others) + 1)
        cuts = _more(known, cuts, price)
        if set(cuts) == set(before):
            break
    return cuts


def spent(cuts: Sequence[Cut], known: Known, lost: float) -> list[Cut]:
    """Return cuts moved to where each leaves out an equal part of a share `lost` of the accepted rows.

    Where few rows were rejected, that is surer than where exactly they end.
    """
    good = known.some(known.accept)
    room = int(lost * len(good.accept) / max(1, len(cuts)))
    found = []
    for cut in cuts:
        values = good.scores[cut.score][good.layouts == cut.layout] if cut.layout else good.scores[cut.score]
        sign = 1 if cut.least else -1
        ordered = np.sort(sign * values[~np.isnan(values)])
        place = max(0, room - int(np.isnan(values).sum()))
        while 0 < place < len(ordered) and ordered[place - 1] == ordered[place]:
            place -= 1
        if place < len(ordered):
            kept = sign * float(ordered[place])
            out = sign * float(ordered[place - 1]) if place else kept
            cut = replace(cut, value=_between(out, kept))
        found.append(cut)
    return found


def _more(known: Known, cuts: list[Cut], price: float, most: int = _MOST_CUTS) -> list[Cut]:
    """Return cuts and those that are worth adding, up to a number."""
    cuts = list(cuts)
    while len(cuts) < most:
        gain, cut, found = _best(known, joined(cuts, known), price)
        if cut is None or gain < _LEAST_GAIN or found < _LEAST_ROWS:
            break
        cuts.append(cut)
    return cuts


def _best(known: Known, kept: np.ndarray, price: float) -> tuple[float, Cut | None, int]:
    """Return the largest gain of one more cut, the cut and the number of rejected rows that it finds."""
    best: tuple[float, Cut | None, int] = (0.0, None, 0)
    for name in known.scores:
        for layout in ("", *sorted(set(known.layouts))):
            rows = kept & (known.layouts == layout) if layout else kept
            for least in (True, False):
                gain, value, found = _threshold(known, rows, name, least, price)
                # A cut for one layout alone must be worth the longer expression.
                if value is not None and gain - (_LEAST_GAIN if layout else 0) > best[0]:
                    best = gain, Cut(name, least, value, layout), found
    return best


def _threshold(known: Known, rows: np.ndarray, name: str, least: bool, price: float) -> tuple[float, float | None, int]:
    """Return the largest gain of a threshold of a score on some rows, the threshold and the rejected rows it finds."""
    values, accept = known.scores[name][rows], known.accept[rows]
    absent = np.isnan(values)
    order = np.argsort(values[~absent] if least else -values[~absent], kind="stable")
    ordered, good = values[~absent][order], accept[~absent][order]
    if not len(ordered):
        return 0.0, None, 0
    lost = np.concatenate([[0], np.cumsum(good)]) + accept[absent].sum()
    out = np.concatenate([[0], np.cumsum(~good)]) + (~accept[absent]).sum()
    gains = out / max(1, (~known.accept).sum()) - price * lost / max(1, known.accept.sum())
    gains[1:-1][ordered[1:] == ordered[:-1]] = -math.inf  # equal values are on one side
    place = int(gains[:-1].argmax())
    if place == 0:
        return float(gains[0]), None, int(out[0])
    place = _middle(gains, ordered, place, 0.5 / max(1, (~known.accept).sum()))
    return float(gains[place]), _between(float(ordered[place - 1]), float(ordered[place])), int(out[place])


def _middle(gains: np.ndarray, ordered: np.ndarray, place: int, slack: float) -> int:
    """Return the place in the middle of the values around `place` whose gains are hardly less: the best is chance."""
    good = gains[1:-1] >= gains[place] - slack
    low = high = place - 1
    while low > 0 and (good[low - 1] or gains[low] == -math.inf):
        low -= 1
    while high + 1 < len(good) and (good[high + 1] or gains[high + 2] == -math.inf):
        high += 1
    # Between two values, as equal ones are on one side.
    sign = 1 if ordered[0] <= ordered[-1] else -1
    middle = int(np.searchsorted(sign * ordered, sign * (ordered[low] + ordered[high + 1]) / 2))
    return middle if 0 < middle < len(ordered) and gains[middle] >= gains[place] - slack else place


def _between(out: float, kept: float) -> float:
    """Return the shortest number near the middle of two, which is on the side of `kept`."""
    middle = (out + kept) / 2
    for digits in range(1, 17):
        value = float(f"{middle:.{digits}g}")
        if (out < value <= kept) or (kept <= value < out):
            return value
    return kept
