"""What is next for a row: the steps of a run in their order, and what the ledger says of them.

It needs no experts: plans are kept in `run.yaml`, so that tables, reviews and exports load nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from .entry import DRAWN, Entry, is_number
from .ledger import Ledger
from .pictures import Stored
from .steps import CAPTION, VLM, Row, StepPlan, Task, step_id
from .where import Where, parse_where

__all__ = ["Pipeline", "Progress", "Retry", "scores_of"]

_ANSWERED = ("done", "rejected")
"""States of a step of which no other attempt follows."""

Standing = Literal["open", "complete", "rejected", "failed", "unjudged"]

Retry = Callable[[Entry], bool]
"""Whether a `failed` or `unjudged` entry, of which nothing more is to be expected, is to be tried once more."""


@dataclass
class Progress:
    """How far a row is."""

    row: Row
    entries: dict[str, Entry] = field(default_factory=dict)
    """Of each step that ended, its last attempt."""
    tasks: list[Task] = field(default_factory=list)
    """That can be done now."""
    standing: Standing = "open"
    reason: str = ""

    @property
    def scores(self) -> dict[str, float | str]:
        """All numbers of its entries, and what can be asked of the row itself."""
        found = _asked_of(self.row)
        for entry in self.entries.values():
            found |= _numbers(entry)
        return found

    @property
    def pictures(self) -> dict[str, Stored]:
        """The pictures `target`, `style` and `content` as far as they are there."""
        return {
            name: self.entries[name].pictures[name]
            for name in DRAWN
            if name in self.entries and name in self.entries[name].pictures
        }

    @property
    def prompt(self) -> str:
        """The caption of the triplet: none where the layout is kept, as the paper's inference has it."""
        if self.row.layout == "preserved":
            return ""
        told = self.entries[CAPTION].values.get("prompt") if CAPTION in self.entries else None
        return str(told or self.row.about.get("prompt", ""))


def scores_of(plans: Iterable[StepPlan]) -> set[str]:
    """Return the names that an expression may ask for."""
    return {"layout", "group"}.union(*(plan.scores for plan in plans))


class Pipeline:
    """The steps of a run."""

    def __init__(
        self, plans: Sequence[StepPlan], reject: Mapping[str, str] | None = None, settled: str = "", attempts: int = 3
    ):
        """Take plans in an order in which every step comes after those that it needs."""
        self.plans = list(plans)
        self.attempts = attempts
        self._reject: dict[str, Where] = {reason: parse_where(text) for reason, text in (reject or {}).items()}
        self._settled = parse_where(settled)

    @property
    def pictures(self) -> set[str]:
        """The pictures of a whole row: `target`, and of `style` and `content` those that are drawn."""
        return {plan.name for plan in self.plans} & set(DRAWN)

    def progress(self, row: Row, ledger: Ledger, retry: Retry | None = None) -> Progress:
        """Return how far a row is.

        Args:
            row: of the source.
            ledger: of the run.
            retry: whether an entry that an earlier run has left is tried again.
        """
        found, scores = Progress(row), _asked_of(row)
        open_steps: set[str] = set()
        for plan in self.plans:
            if any(name not in found.entries for name in plan.needs) or (plan.waits and open_steps):
                continue
            if plan.by_layout and row.layout not in plan.by_layout:
                continue
            if any(found.entries[name].state != "done" for name in plan.needs):
                continue
            inputs = {name: found.entries[name] for name in plan.needs}
            entry, attempt = self._last(plan, row, inputs, ledger)
            answered = entry is not None and entry.state in _ANSWERED
            if plan.name == VLM and not answered and self._settled.text.strip() and self._settled.holds(scores):
                continue  # it spares asking; an answer that is there counts
            if entry is None or self._again(entry, retry):
                attempt += entry is not None
                found.tasks.append(Task(row, plan, step_id(plan, row, inputs, attempt), attempt, inputs))
                open_steps.add(plan.name)
                continue
            found.entries[plan.name] = entry
            if entry.state == "rejected":
                return self._closed(found, "rejected", entry.reason)
            scores |= _numbers(entry)
            for reason, where in self._reject.items():
                if where.holds(scores):
                    return self._closed(found, "rejected", reason)
        if not open_steps:
            bad = [entry for entry in found.entries.values() if entry.state != "done"]
            if bad:
                return self._closed(found, "failed" if bad[0].state == "failed" else "unjudged", bad[0].reason)
            found.standing = "complete"
        return found

    def lines(self, row: Row, ledger: Ledger) -> Iterator[Entry]:
        """Yield all that was done for a row under these settings: each attempt, and steps whose row was rejected."""
        last: dict[str, Entry] = {}
        for plan in self.plans:
            if any(name not in last or last[name].state != "done" for name in plan.needs):
                continue
            inputs = {name: last[name] for name in plan.needs}
            entry, attempt = self._last(plan, row, inputs, ledger)
            if entry is not None:
                last[plan.name] = entry
            for number in range(attempt + 1):
                yield from ledger.lines_of(step_id(plan, row, inputs, number))

    def lacking(self, row: Row, ledger: Ledger) -> set[str]:
        """Return the steps of which a row has no result, and those that need one of them, whatever waits for what."""
        last: dict[str, Entry] = {}
        found: set[str] = set()
        for plan in self.plans:
            if plan.by_layout and row.layout not in plan.by_layout:
                continue
            if found & set(plan.needs):
                found.add(plan.name)
                continue
            if any(name not in last or last[name].state != "done" for name in plan.needs):
                continue
            entry, _ = self._last(plan, row, {name: last[name] for name in plan.needs}, ledger)
            if entry is None:
                found.add(plan.name)
            else:
                last[plan.name] = entry
        return found

    def _last(self, plan: StepPlan, row: Row, inputs: Mapping[str, Entry], ledger: Ledger) -> tuple[Entry | None, int]:
        """Return the entry of the last attempt that was made and its number; None and 0 where none was made."""
        last, attempt = None, 0
        while True:
            entry = ledger.get(step_id(plan, row, inputs, attempt))
            if entry is None:
                return last, max(0, attempt - 1)
            if entry.state in _ANSWERED:
                return entry, attempt
            last, attempt = entry, attempt + 1

    def _again(self, entry: Entry, retry: Retry | None) -> bool:
        """Whether a step that ended badly is to be tried once more."""
        if entry.state == "failed" and entry.attempt + 1 < self.attempts:
            return True
        return entry.state in ("failed", "unjudged") and retry is not None and retry(entry)

    @staticmethod
    def _closed(found: Progress, standing: Standing, reason: str) -> Progress:
        found.standing, found.reason, found.tasks = standing, reason, []
        return found

    def told(self) -> list[dict[str, Any]]:
        """Return the plans as `run.yaml` keeps them."""
        return [
            {
                "name": plan.name,
                "needs": list(plan.needs),
                "reads": list(plan.reads),
                "settings": dict(plan.settings),
                "expert": plan.expert,
                "workers": plan.workers,
                "scores": list(plan.scores),
                "waits": plan.waits,
                "by_layout": {layout: list(place) for layout, place in plan.by_layout.items()},
            }
            for plan in self.plans
        ]


def _asked_of(row: Row) -> dict[str, float | str]:
    return {"layout": row.layout, "group": row.about.get("style", "")}


def _numbers(entry: Entry) -> dict[str, float | str]:
    return {name: float(value) for name, value in entry.values.items() if is_number(value)}
