"""Scores to the numbers of a report: for each task, the oracle, chance and each model by every measure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .bench import TASKS, Task
from .scores import MeasureCard, Score, Whose
from .statistics import Interval, interval, placements
from .together import ScoredRun

__all__ = ["Cell", "Line", "Table", "interval_of", "numbers_of", "ordered", "tables", "units_of"]

_ORDER = ("subject", "copying", "style", "leak", "text")
"""What copies stands beside what is alike: a copy is most alike of all."""


@dataclass(frozen=True)
class Cell:
    """One number of a table."""

    interval: Interval
    above_oracle: bool
    """Real pictures have less: a sign of copying, or of a measure that is fooled."""


@dataclass(frozen=True)
class Line:
    """A row of a table."""

    name: str
    whose: Whose
    cells: dict[str, Cell]
    """By the measure's name; without those that say nothing of the task."""


@dataclass(frozen=True)
class Table:
    """The numbers of a task."""

    task: Task
    measures: list[MeasureCard]
    lines: list[Line]


def tables(runs: Sequence[ScoredRun]) -> list[Table]:
    """Return the tables of all tasks that were drawn."""
    cards = ordered(runs[0].header.measures)
    found = []
    for task in TASKS:
        lines = []
        oracle = _cells(_chosen(runs[:1], task, "oracle"), cards, {})
        for name, whose, scores in (
            ("real pictures", "oracle", None),
            ("shuffled references", "chance", _chosen(runs, task, "chance")),
            *((run.name, "model", _chosen([run], task, "model")) for run in runs),
        ):
            cells = oracle if scores is None else _cells(scores, cards, oracle if whose == "model" else {})
            lines.append(Line(name, whose, cells))  # type: ignore[arg-type]  # literals become str in a tuple
        used = [card for card in cards if any(card.name in line.cells for line in lines if line.whose == "model")]
        if used:
            found.append(Table(task, used, lines))
    return found


def ordered(cards: Sequence[MeasureCard]) -> list[MeasureCard]:
    """Return measures in the order of a report."""
    return sorted(cards, key=lambda card: _ORDER.index(card.sees))


def numbers_of(scores: Sequence[Score], card: MeasureCard) -> tuple[list[Score], list[float]]:
    """Return the pictures of which a measure says something, and a number of each whose mean is the measure's."""
    there = [score for score in scores if all(score.values.get(column) is not None for column in card.columns)]
    columns = [[float(score.values[column] or 0) for score in there] for column in card.columns]
    if card.aggregate == "mean" or not there:
        return there, columns[0]
    return there, placements(columns[0], columns[1]).tolist()


def units_of(scores: Sequence[Score], card: MeasureCard) -> tuple[list[str | None], ...]:
    """Return, for each picture, the three units over which an interval holds; those with one level say nothing.

    The first is the subject for measures of subjects, else the style, the second the prompt, and the third the other
    reference: tasks with both references have an effect of each on every measure.
    """
    styles, subjects = [score.style_name for score in scores], [score.subject for score in scores]
    first, third = (subjects, styles) if card.sees in ("subject", "copying") else (styles, subjects)
    return first, [score.prompt_id for score in scores], third


def interval_of(scores: Sequence[Score], values: Sequence[float], card: MeasureCard) -> Interval:
    """Return the mean of what `numbers_of` gives, with its interval."""
    widest = (0.0, 1.0) if card.aggregate == "area" else (float("-inf"), float("inf"))
    shares = card.aggregate == "mean" and card.bounds == (0, 1)
    return interval(values, *units_of(scores, card), bounds=card.bounds or widest, shares=shares)


def _chosen(runs: Sequence[ScoredRun], task: Task, whose: Whose) -> list[Score]:
    return [score for run in runs for score in run.scores if score.task == task and score.whose == whose]


def _cells(scores: Sequence[Score], cards: Sequence[MeasureCard], oracle: dict[str, Cell]) -> dict[str, Cell]:
    found = {}
    for card in cards:
        there, values = numbers_of(scores, card)
        if there:
            taken = interval_of(there, values, card)
            real = oracle.get(card.name)
            above = real is not None and card.better == "higher" and taken.mean > real.interval.mean
            found[card.name] = Cell(taken, above)
    return found
