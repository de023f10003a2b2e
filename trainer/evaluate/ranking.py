"""Which of several runs is best: by every measure, and by people's votes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations

from .comparison import compared, interval_told
from .pairs import Vote
from .statistics import Interval, interval
from .strengths import strengths
from .together import ScoredRun

__all__ = ["ranked", "told_votes", "wins_of"]

MOST_WITHOUT = 2
"""Of two models the share of wins says it all."""


def ranked(runs: Sequence[ScoredRun]) -> Iterator[str]:
    """Yield for each task and measure the strengths of all runs by their wins, picture by picture."""
    wins: dict[tuple[str, str], list[tuple[str, str, float]]] = {}
    for a, b in combinations(runs, 2):
        for one in compared(a, b):
            if one.measure.better != "neither":
                share, count = one.wins.mean, one.wins.count
                both = [(a.name, b.name, share * count), (b.name, a.name, (1 - share) * count)]
                wins.setdefault((one.task, one.measure.name), []).extend(both)
    for (task, measure), counted in wins.items():
        yield f"{task} {measure}: {_listed(strengths([run.name for run in runs], counted))}"


def told_votes(votes: Sequence[Vote]) -> Iterator[str]:
    """Yield the share of wins of each pair of runs with its interval, and the strengths of three or more."""
    for a, b, taken in wins_of(votes):
        yield f"{a} wins over {b}: {interval_told(taken, '.2f')}, {taken.count} votes"
    names = sorted({name for vote in votes for name in (vote.first, vote.second)})
    if len(names) > MOST_WITHOUT:
        counted = [(v.first, v.second, v.wins) for v in votes] + [(v.second, v.first, 1 - v.wins) for v in votes]
        yield f"strengths of Bradley and Terry: {_listed(strengths(names, counted))}"


def wins_of(votes: Sequence[Vote]) -> Iterator[tuple[str, str, Interval]]:
    """Yield each pair of runs that has votes, with the share of wins of the first."""
    names = sorted({name for vote in votes for name in (vote.first, vote.second)})
    for a, b in combinations(names, 2):
        chosen = [vote for vote in votes if {vote.first, vote.second} == {a, b}]
        if chosen:
            wins = [vote.wins if vote.first == a else 1 - vote.wins for vote in chosen]
            scores = [vote.score for vote in chosen]
            units = (
                [score.style_name or score.subject or score.row for score in scores],
                [score.prompt_id for score in scores],
                [score.subject or score.row for score in scores],
            )
            yield a, b, interval(wins, *units, bounds=(0.0, 1.0), shares=True)


def _listed(found: dict[str, float]) -> str:
    return ", ".join(f"{name} {strength:+.2f}" for name, strength in found.items())
