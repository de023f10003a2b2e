"""All that is known of a row, which the review page reads when it is looked at: its recipe, its steps, raw answers."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from ..entry import RAW, Entry
from ..pipeline import Pipeline, Progress
from ..steps import TARGET, StepPlan, Task
from .texts import shown

__all__ = ["Part", "details", "step_settings"]

Part = tuple[str, list[tuple[str, str]]]
"""A heading, and lines of a name and a text."""
_LONGEST, _MOST = 2000, 40
"""Letters of a text, and lines of a part."""


def details(progress: Progress) -> list[Part]:
    """Return what is shown of a row: first of itself, then of each step that ended."""
    row = progress.row
    of_row = {"picture": row.key, "layout": row.layout, "number": row.number, "prompt": progress.prompt}
    of_row |= {"subject of the style reference": row.subject, **row.about, "row": row.id}
    scores = progress.scores
    parts = [("Row", _lines(of_row))]
    for name, entry in progress.entries.items():
        parts.append((f"Step {name}", _lines(_of_step(progress, entry, scores))))
    return parts


def step_settings(pipeline: Pipeline) -> Part:
    """Return what each step was told, which is the same for all rows."""
    return "Settings of the steps", _lines({plan.name: plan.settings for plan in pipeline.plans})


def _of_step(progress: Progress, entry: Entry, scores: Collection[str]) -> dict[str, Any]:
    told: dict[str, Any] = {"ended": entry.state, "reason": entry.reason}
    if entry.pictures and entry.step != TARGET:
        told["seed"] = Task(progress.row, StepPlan(entry.step), entry.id, entry.attempt, {}).seed
    told |= {"attempt": entry.attempt + 1, "seconds": entry.seconds}
    told |= {name: value for name, value in entry.values.items() if name not in scores}
    told |= {name: value for name, value in entry.notes.items() if name not in ("row", RAW)}
    return told | entry.notes.get(RAW, {})


def _lines(told: dict[str, Any]) -> list[tuple[str, str]]:
    lines = [(shown(name, 80), shown(value, _LONGEST)) for name, value in told.items() if value not in ("", None)]
    more = len(lines) - _MOST
    return lines if more <= 0 else [*lines[:_MOST], ("more", f"and {more} more lines")]
