"""What a run shows while it goes on: ComfyUI's progress bar with samples as previews, and a text under the node."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import comfy.utils

from ...trainer.data.pictures import open_picture
from ...uso_model.errors import UserError
from ...uso_model.untrusted import quoted
from ..graph.node_text import show_on_node
from .process import Event

__all__ = ["Progress", "whole"]

_LINES, _EVERY = 6, 0.5
"""Lines of the log under the node, and seconds between two texts."""
_NUMBERS = (("loss", "loss {:.4f}"), ("learning_rate", "rate {:.2e}"), ("seconds_per_step", "{:.2f} s a step"))
_LONGEST = 500
"""Characters of a line under the node."""
_PREVIEW = 1024
"""Longest side of a preview in pixels."""


class Progress:
    """Shows events. All is called from the thread that runs the node, which is how ComfyUI knows the node."""

    def __init__(self, name: str):
        """Begin with nothing done.

        Args:
            name: of the run.
        """
        self.name = name
        self.head = f"Starting {name}"
        self.warnings: list[str] = []
        self.step, self.steps = 0, 0
        self._lines: list[str] = []
        self._bar: Any = None
        self._total = 0
        self._shown = ("", 0.0)

    def take(self, event: Event) -> None:
        """Show an event; one of a kind that is not known here shows nothing."""
        shows = {
            "start": self._start,
            "phase": self._phase,
            "encode": self._encode,
            "step": self._step,
            "sample": self._sample,
            "measure": self._measure,
            "checkpoint": self._checkpoint,
            "warning": self._warning,
        }
        if event["event"] in shows:
            shows[event["event"]](event)

    def say(self, line: str) -> None:
        """Add a line under the node."""
        self._lines = [*self._lines, line][-_LINES:]

    def warn(self, line: str) -> None:
        """Add a line under the node, and to the warnings; one that was there already is not added again."""
        text = quoted(line, _LONGEST)
        if text not in self.warnings:
            self.warnings.append(text)
            self.say(text)

    def refresh(self, now: bool = False) -> None:
        """Show the text under the node, where it has changed."""
        text, shown_at = self._shown
        new = "\n".join(quoted(line, _LONGEST) for line in (self.head, *self._lines))
        if new != text and (now or time.monotonic() - shown_at > _EVERY):
            self._shown = new, time.monotonic()
            show_on_node(new)

    def _start(self, event: Event) -> None:
        self.step, self.steps = whole(event.get("step")), whole(event.get("steps"))

    def _phase(self, event: Event) -> None:
        self.head = f"{self.name}: {event.get('text', '')}"

    def _encode(self, event: Event) -> None:
        done, total = whole(event.get("done")), whole(event.get("total"))
        self.head = f"{self.name}: encoding pictures and captions, {done} of {total}"
        self._move(done, total)

    def _step(self, event: Event) -> None:
        self.step, self.steps = whole(event.get("step")), whole(event.get("steps"))
        told = [f"{self.name}: step {self.step} of {self.steps}"]
        numbers = [(shown, _number(event.get(name))) for name, shown in _NUMBERS]
        told += [shown.format(number) for shown, number in numbers if number is not None]
        left = _number(event.get("seconds_left"))
        if left is not None:
            told.append(f"{_clock(left)} left")
        self.head = ", ".join(told)
        self._move(self.step, self.steps)

    def _sample(self, event: Event) -> None:
        try:
            sheet = open_picture(Path(str(event.get("path"))))
        except UserError:  # a sheet of samples is a by-product
            return
        self._move(self.step, self.steps, ("JPEG", sheet, _PREVIEW))

    def _measure(self, event: Event) -> None:
        values = event.get("values")
        if isinstance(values, dict):
            numbers = [(name, _number(value)) for name, value in values.items()]
            told = [f"{name} {number:.4g}" for name, number in numbers if number is not None]
            self.say(f"step {whole(event.get('step'))}: {', '.join(told)}")

    def _checkpoint(self, event: Event) -> None:
        self.say(f"step {whole(event.get('step'))}: checkpoint")

    def _warning(self, event: Event) -> None:
        self.warn(str(event.get("text", "")))

    def _move(self, done: int, total: int, preview: Any = None) -> None:
        if total < 1:
            return
        if self._bar is None or total != self._total:
            self._bar, self._total = comfy.utils.ProgressBar(total), total
        self._bar.update_absolute(done, total, preview)


def _clock(seconds: float) -> str:
    """Return a time as hours, minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}"


def whole(value: Any) -> int:
    """Return a number of an event as an integer, 0 for what is none."""
    return int(_number(value) or 0)


def _number(value: Any) -> float | None:
    """Return a finite number of an event, None for anything else."""
    try:
        number = float(value) if isinstance(value, (int, float)) else math.nan
    except OverflowError:  # it has hundreds of digits
        return None
    return number if math.isfinite(number) else None
