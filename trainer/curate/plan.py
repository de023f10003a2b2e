"""Hours, disk and cost of a wanted number of triplets, from what the first rows took."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .ledger import Entry, Ledger
from .pipeline import Pipeline, Progress
from .recipe import CurateConfig
from .status import Yield, cost_of, yield_of
from .where import Where

__all__ = ["Forecast", "Need", "forecast", "table"]


@dataclass(frozen=True)
class Need:
    """What a number of candidates takes."""

    candidates: float
    hours: float
    gigabytes: float
    cost: float


@dataclass(frozen=True)
class Forecast:
    """What is to be expected."""

    kept: Yield
    slowest: str
    """Expert whose workers are busy longest; empty: this machine's threads."""
    seconds: float
    """Of its workers together, for a row."""
    expected: Need | None
    """At the measured yield; None where nothing was kept."""
    best: Need | None
    """At the upper end of the yield's interval."""
    worst: Need | None
    """At its lower end; None where that is nothing or unknown."""


def forecast(
    rows: Sequence[Progress],
    wanted: int,
    where: Where,
    config: CurateConfig,
    pipeline: Pipeline,
    ledger: Ledger,
    workers: Mapping[str, int],
) -> Forecast | None:
    """Return what so many accepted triplets take; None where no row is through.

    Args:
        rows: of which is measured.
        wanted: triplets.
        where: which of the complete rows would be accepted.
        config: of the run.
        pipeline: of the run.
        ledger: of the run.
        workers: of each expert.
    """
    accepted = {one.row.id for one in rows if where.holds(one.scores)}
    kept = yield_of(list(rows), accepted)
    if kept is None:
        return None
    layouts = {one.row.id: one.row for one in rows}
    lines = [entry for one in rows for entry in pipeline.lines(one.row, ledger)]
    busy: dict[str, float] = defaultdict(float)
    plans = {plan.name: plan for plan in pipeline.plans}
    for entry in lines:
        if entry.step in plans:
            busy[plans[entry.step].place(layouts[entry.row].layout)] += entry.seconds
    spans = {name: seconds / len(rows) / _workers(name, config, workers) for name, seconds in busy.items()}
    slowest = max(spans, key=spans.__getitem__, default="")
    disk = _bytes(lines) / len(rows)
    cost = cost_of(lines, layouts, config, pipeline) / len(rows)

    def need(share: float | None) -> Need | None:
        if not share:
            return None
        count = wanted / share
        return Need(count, count * spans.get(slowest, 0.0) / 3600, count * disk / 1e9, count * cost)

    return Forecast(kept, slowest, spans.get(slowest, 0.0), need(kept.share), need(kept.high), need(kept.low))


def _workers(name: str, config: CurateConfig, workers: Mapping[str, int]) -> int:
    expert = config.experts.get(name)
    return len(expert.devices) if expert is not None and expert.devices else workers.get(name, 1)


def _bytes(lines: Sequence[Entry]) -> int:
    """Return the size of pictures and lines; a picture that two rows share counts once."""
    pictures = {stored for entry in lines for stored in entry.pictures.values()}
    return sum(stored.size for stored in pictures) + sum(len(entry.line()) for entry in lines)


def _rounded(number: float) -> str:
    """Return a number as a forecast can know it: two digits, thousands set apart."""
    if number <= 0:
        return "0"
    digits = 1 - math.floor(math.log10(number))
    return f"{round(number, digits):,.{max(0, digits)}f}"


def table(found: Forecast, wanted: int) -> list[str]:
    """Return a forecast as lines for a person."""
    who = f"experts.{found.slowest}" if found.slowest else "this machine"
    lines = [
        f"yield {found.kept.shown()}; {who} takes longest, {found.seconds:.2f} s a row",
        f"{wanted:,} triplets need{'':<13}{'candidates':>12}{'hours':>10}{'disk GB':>10}{'cost':>12}",
    ]
    for name, one in (("at this yield", found.expected), ("at most", found.worst), ("at least", found.best)):
        told = (one.candidates, one.hours, one.gigabytes, one.cost) if one is not None else ()
        shown = [_rounded(number) for number in told] or ["?"] * 4
        lines.append(f"{name:<30}{shown[0]:>12}{shown[1]:>10}{shown[2]:>10}{shown[3]:>12}")
    return lines
