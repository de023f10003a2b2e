"""How a run stands: rows, steps, yield, cost and what is left, as its folder tells."""

from __future__ import annotations

import statistics as averages
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..evaluate.statistics import Interval, interval
from .entry import Entry, is_number
from .ledger import Ledger
from .pipeline import Pipeline, Progress
from .recipe import CurateConfig
from .run.lease import living
from .run_folder import candidates
from .steps import Row

__all__ = ["Status", "StepStatus", "Yield", "cost_of", "redone", "status_of", "yield_of"]

RECENT = 600.0
"""Seconds, counted from the last line, of which rates are taken."""


@dataclass
class StepStatus:
    """A step in all rows, as the run's settings have it."""

    states: dict[str, int] = field(default_factory=dict)
    """Attempts that ended so."""
    per_minute: float = 0.0
    seconds: float = 0.0
    """Median of one."""
    running: int = 0
    waiting: int = 0
    """For a worker, in the drivers that are at work."""


@dataclass
class Yield:
    """Share of rows that came out whole among those that are through."""

    share: float
    low: float | None
    high: float | None
    rows: int

    def shown(self) -> str:
        """Return it for a person."""
        bounds = f" ({self.low:.0%} to {self.high:.0%})" if self.low is not None and self.high is not None else ""
        return f"{self.share:.0%}{bounds} of {self.rows} rows that are through"


@dataclass
class Status:
    """A run."""

    rows: dict[str, int]
    """Of each standing; those that no step has touched are not counted."""
    total: int | None
    """Rows of the source."""
    steps: dict[str, StepStatus]
    kept: Yield | None
    retries: int
    cost: float
    """Of all that was ever made in this folder, under other settings too."""
    seconds_left: float | None
    """At the pace of the last minutes; None where there is none."""
    drivers: list[str]
    damaged_lines: list[str]

    def told(self) -> dict[str, Any]:
        """Return it as JSON."""
        return asdict(self)


def status_of(run: Path, config: CurateConfig, pipeline: Pipeline, ledger: Ledger, total: int | None) -> Status:
    """Look at a run, whether or not it is at work."""
    found = list(candidates(pipeline, ledger))
    lines = [entry for one in found for entry in pipeline.lines(one.row, ledger)]
    last = max((entry.time for entry in lines), default=0.0)
    steps: dict[str, StepStatus] = {plan.name: StepStatus() for plan in pipeline.plans}
    seconds: dict[str, list[float]] = defaultdict(list)
    recent: Counter[str] = Counter()
    for entry in lines:
        states = steps[entry.step].states
        states[entry.state] = states.get(entry.state, 0) + 1
        seconds[entry.step].append(entry.seconds)
        recent[entry.step] += entry.time > last - RECENT
    began = min((entry.time for entry in lines), default=0.0)
    minutes = max(min(RECENT, last - began), 1.0) / 60
    for name, step in steps.items():
        step.per_minute = round(recent[name] / minutes, 2)
        step.seconds = round(averages.median(seconds[name]), 3) if seconds[name] else 0.0
    ended = [max(entry.time for entry in one.entries.values()) for one in found if one.standing != "open"]
    pace = sum(time > last - RECENT for time in ended) / minutes
    live = living(run)
    for other in live:
        for name, step in steps.items():
            step.waiting += _count(other.at_work.get("waiting"), name)
            step.running += _count(other.at_work.get("running"), name)
    left = max(0, total - len(ended)) if total is not None else None
    return Status(
        dict(Counter(str(one.standing) for one in found)),
        total,
        steps,
        yield_of(found),
        sum(entry.attempt > 0 for entry in lines),
        round(cost_of(list(ledger.lines()), _layouts(found), config, pipeline), 4),
        60 * left / pace if left is not None and pace else None,
        [f"process {one.pid} on {one.host}, --shard {one.shard[0]}/{one.shard[1]}" for one in live],
        ledger.damaged,
    )


def _count(told: object, name: str) -> int:
    found = told.get(name) if isinstance(told, Mapping) else 0
    return found if isinstance(found, int) else 0


def _layouts(found: list[Progress]) -> dict[str, Row]:
    return {one.row.id: one.row for one in found}


def yield_of(found: list[Progress], kept: set[str] | None = None) -> Yield | None:
    """Return the share of rows that are whole among those that are through, with its 95 % interval.

    Rows of one picture are alike, so pictures are what is counted.

    Args:
        found: rows.
        kept: ids of those that are wanted; None: all that are complete.
    """
    through = [one for one in found if one.standing not in ("open", "unjudged")]
    if not through:
        return None
    yes = [one.standing == "complete" and (kept is None or one.row.id in kept) for one in through]
    told: Interval = interval([float(one) for one in yes], [one.row.key for one in through], shares=True)
    return Yield(told.mean, told.low, told.high, told.count)


def cost_of(lines: list[Entry], rows: Mapping[str, Row], config: CurateConfig, pipeline: Pipeline) -> float:
    """Return what entries have cost: time of experts by the hour, and what a step itself has noted."""
    hourly = {name: expert.cost_per_hour for name, expert in config.experts.items()}
    plans = {plan.name: plan for plan in pipeline.plans}
    cost = 0.0
    for entry in lines:
        noted = entry.notes.get("cost", 0.0)
        cost += noted if is_number(noted) else 0.0
        row, plan = rows.get(entry.row), plans.get(entry.step)
        if row is not None and plan is not None and (not plan.by_layout or row.layout in plan.by_layout):
            cost += hourly.get(plan.place(row.layout), 0.0) * entry.seconds / 3600
    return cost


def redone(old: Pipeline, new: Pipeline, ledger: Ledger, rows: Iterable[Row]) -> dict[str, int]:
    """Return how often each step that the ledger has would be done again.

    Args:
        old: the steps as they are.
        new: the steps under other settings.
        ledger: of the run.
        rows: of the source, as the other settings see it.
    """
    counts: Counter[str] = Counter()
    done = {before.row.id: before for before in candidates(old, ledger)}
    for row in rows:
        if (before := done.get(row.id)) is not None:
            counts.update(new.lacking(row, ledger) & set(before.entries))
    return {plan.name: counts[plan.name] for plan in new.plans if counts[plan.name]}
