"""Two runs of one bench picture by picture: both were drawn from one noise, so only the models differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .bench import TASKS, Task
from .scores import MeasureCard, Score
from .statistics import Interval, interval
from .summary import numbers_of, ordered, units_of
from .together import ScoredRun

__all__ = ["Compared", "Pair", "compared", "interval_told", "pairs_of", "told"]


@dataclass(frozen=True)
class Compared:
    """One measure of one task, of two runs."""

    task: Task
    measure: MeasureCard
    first: str
    second: str
    difference: Interval
    """The first's number less the second's."""
    wins: Interval
    """Share of the pairs in which the first is better; equal ones count half."""
    alone: int = 0
    """Pictures that only one of them has a number of; they are left out."""


@dataclass(frozen=True)
class Pair:
    """The same row and sample by two models."""

    first: Score
    second: Score


def pairs_of(a: Sequence[Score], b: Sequence[Score]) -> list[Pair]:
    """Return the pictures that both have, in the order of the first."""
    other = {(score.row, score.sample): score for score in b}
    return [Pair(score, other[score.row, score.sample]) for score in a if (score.row, score.sample) in other]


def compared(first: ScoredRun, second: ScoredRun) -> list[Compared]:
    """Return the differences of two runs by every measure and task, with 95 % intervals and shares of wins."""
    found = []
    for task in TASKS:
        mine, theirs = (
            [score for score in run.scores if score.task == task and score.whose == "model"] for run in (first, second)
        )
        for card in ordered(first.header.measures):
            there = [numbers_of(scores, card)[0] for scores in (mine, theirs)]
            pairs = pairs_of(*there)
            if not pairs:
                continue
            a, b = (numbers_of([getattr(p, side) for p in pairs], card)[1] for side in ("first", "second"))
            units = units_of([pair.first for pair in pairs], card)
            differences = [x - y for x, y in zip(a, b, strict=True)]
            sign = -1 if card.better == "lower" else 1
            wins = [0.5 if d == 0 else float(sign * d > 0) for d in differences]
            found.append(
                Compared(
                    task,
                    card,
                    first.name,
                    second.name,
                    interval(differences, *units),
                    interval(wins, *units, bounds=(0.0, 1.0), shares=True),
                    sum(map(len, there)) - 2 * len(pairs),
                )
            )
    return found


def told(one: Compared) -> str:
    """Return a comparison as a line: difference and wins with their intervals, and what they say."""
    sure = "" if one.difference.holds(0) else f", {_better(one)}"
    cannot = f"; {one.measure.name} {one.measure.cannot}" if one.measure.cannot else ""
    difference, wins = interval_told(one.difference, "+.4f"), interval_told(one.wins, ".2f")
    alone = f", {one.alone} of one run alone left out" if one.alone else ""
    count = f"{one.difference.count} pairs{alone}"
    return f"{one.task} {one.measure.name}: {difference}, wins {wins}, {count}{sure}{cannot}"


def interval_told(found: Interval, form: str) -> str:
    """Return a mean and its bounds as text."""
    known = found.low is not None and found.high is not None
    return f"{found.mean:{form}} ({f'{found.low:{form}} to {found.high:{form}}' if known else 'bounds unknown'})"


def _better(one: Compared) -> str:
    higher, lower = (one.first, one.second) if one.difference.mean > 0 else (one.second, one.first)
    if one.measure.better == "neither":
        return f"{higher} has more"
    return f"{higher if one.measure.better == 'higher' else lower} is better"
