"""A training from its start to its end: followed, stopped when ComfyUI is told to cancel, and its errors told."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import comfy.model_management

from ...trainer.problems import ChangedError
from ...uso_model.errors import UserError
from ...uso_model.untrusted import named, quoted
from .process import Event, Process
from .progress import Progress, whole

__all__ = ["follow"]

_PAUSE = 0.2
"""Seconds between two looks at ComfyUI's Cancel."""
_PATIENCE = 60.0
"""Seconds after which a trainer that is to stop is spoken of."""
_LINES = 12
"""Of the log in an error."""
_LAST = ("done", "stopped", "error")
_MENDABLE = ("user", "changed", "packages", "memory")
"""Kinds of errors that say all in a sentence; with others the log is shown."""
_CHANGED = "changed"
"""Kind of the error that the run began with other settings or data."""


def follow(process: Process, progress: Progress, exported: Callable[[], object]) -> Event:
    """Follow a trainer to its end and return its last event, `done`.

    ComfyUI's Cancel asks it for a checkpoint and the end, and waits for both; a second Cancel ends it at once.

    Args:
        process: the trainer.
        progress: shows its events.
        exported: called when files were exported, and at the end. An OSError of it says what to do.

    Raises:
        InterruptProcessingException: it was cancelled and has stopped.
        ChangedError: a run of that name began with other settings or data.
        UserError: it has ended with an error or without a word, or is done and `exported` fails.
    """
    last: Event = {}
    asked = 0
    asked_at, told_of = 0.0, False
    while not process.ended():
        event = process.event(_PAUSE)
        if event is not None and event["event"] in _LAST:
            last = event
        try:
            if event is not None:
                progress.take(event)  # which may find that it was cancelled, as ComfyUI's progress bar looks for it
                if event["event"] == "export":
                    exported()
            comfy.model_management.throw_exception_if_processing_interrupted()
        except OSError as error:  # what was exported is in the run's folder, and is put in place at the end
            progress.say(str(error))
        except comfy.model_management.InterruptProcessingException:
            asked += 1
            asked_at, told_of = time.monotonic(), False
            progress.say(
                "Cancelled: the trainer writes a checkpoint" if asked == 1 else "Cancelled again: ended at once"
            )
            process.stop() if asked == 1 else process.kill()
        if asked and not told_of and time.monotonic() - asked_at > _PATIENCE:
            told_of = True
            progress.say("It has not stopped yet; cancel once more to end it at once: the last checkpoint stands")
        progress.refresh()
    try:
        exported()
        failed = None
    except OSError as error:
        failed = error
        progress.say(str(error))
    done = _ended(process, progress, last, cancelled=asked > 0)  # first: what it raises is the cause
    if failed is not None:
        raise UserError(
            f"The training {quoted(progress.name)!r} is done, but not all that was trained could be put where ComfyUI "
            f"finds it: {failed}, then queue again, which does not train again."
        ) from failed
    return done


def _ended(process: Process, progress: Progress, last: Event, cancelled: bool) -> Event:
    """Return the event `done`, or say what has happened in its place."""
    kind = last.get("event")
    if kind == "done" and not cancelled:
        return last
    step = whole(last.get("step")) or progress.step  # the events of steps leave some out
    at = f"after step {step} of {progress.steps}" if progress.steps else "before its first step"
    if cancelled and kind != "error":
        kept = "with a checkpoint" if kind == "stopped" and step else "and what is on the disk stays"
        progress.head = f"{progress.name} stopped {at} {kept}: queue again to go on"
        if kind == "done":
            progress.head = f"{progress.name}: cancelled, and all steps are done: queue again for what was trained"
        progress.refresh(now=True)
        raise comfy.model_management.InterruptProcessingException
    if kind == "stopped":
        raise UserError(f"The training {quoted(progress.name)} was stopped from outside {at}: queue again to go on.")
    if kind == "error":
        text = str(last.get("text") or "the trainer ended with an error")
        if last.get("kind") == _CHANGED:
            raise ChangedError(text)
        raise UserError(text + _particulars(process, last))
    code = process.code()
    how = f"by signal {-code}" if code < 0 else f"with code {code}"
    log = _log(process)
    look = "look at the lines below, and " if log else ""
    raise UserError(
        f"The trainer ended {how} {at} and said no reason: {look}queue again to go on from the last checkpoint.{log}"
    )


def _particulars(process: Process, last: Event) -> str:
    """Return the rows and the report of a crash, and the log where the error is none that a user can mend."""
    rows, crash = last.get("rows"), last.get("crash")
    told = f" Rows: {', '.join(map(quoted, rows))}." if isinstance(rows, list) and rows else ""
    told += f" Report: {named(Path(str(crash)))}." if crash else ""
    return told if last.get("kind") in _MENDABLE else told + _log(process)


def _log(process: Process) -> str:
    lines = [quoted(line, 300) for line in process.last_lines(_LINES)]
    return "\n".join([f"\nLast lines of {named(process.log)}:", *lines]) if lines else ""
