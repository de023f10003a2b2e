"""One step done: called, timed, its pictures kept, and its entry made and written. All engines do steps by this."""

from __future__ import annotations

import errno
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ....uso_model.errors import UserError
from ....uso_model.writing import is_full
from ..ledger import Entry, Journal, now
from ..pictures import Pictures
from ..steps import Again, Rejected, Step, Task

__all__ = ["Done", "Remote", "Worker", "do", "value_of"]

Done = tuple[Entry, str]
"""An entry that is on the disk, and the name of the journal that has it."""


class Worker:
    """Does steps and writes what became of them into a journal of its own. Threads may share it."""

    def __init__(self, run: Path, steps: Mapping[str, Step], pictures: Pictures | None = None):
        """Take the folder of a run, steps by their names, and the run's pictures where they are looked at already."""
        self._steps, self._pictures, self._journal = steps, pictures or Pictures(run), Journal(run)

    def do(self, task: Task, called: Callable[[], object] = lambda: None) -> Done:
        """Do a step and write what became of it.

        Args:
            task: which one.
            called: told when the step has ended and only writing is left.

        Raises:
            UserError: nothing can go on until a person mends something.
            OSError: the disk takes no more.
        """
        entry = do(self._steps[task.plan.name], task, self._pictures, called)
        self._journal.add(entry)
        return entry, self._journal.path.stem

    def close(self) -> None:
        """Let go of the journal."""
        self._journal.close()


class Remote:
    """Does the steps of one expert in a process of its own, in which they are built when the first task comes.

    What goes wrong is answered in plain values: an exception may not survive the way.
    """

    def __init__(self, run: Path, settings: Mapping[str, Any], place: str, device: str | None):
        """See `_steps_of_place`."""
        self._told = (settings, place, device)
        self._run = run
        self._worker: Worker | None = None
        self._lock = threading.Lock()

    def answer(self, task: Task) -> tuple[str, Any]:
        """Do a step, and return what `value_of` reads."""
        try:
            with self._lock:
                if self._worker is None:
                    self._worker = Worker(self._run, _steps_of_place(*self._told))
            return "done", self._worker.do(task)
        except UserError as error:
            return "user", str(error)
        except OSError as error:
            return "full" if is_full(error) else "system", str(error)
        except Exception:
            return "fault", traceback.format_exc()


_PROBLEMS: dict[str, type[Exception]] = {"user": UserError, "system": OSError, "fault": RuntimeError}


def value_of(answer: tuple[str, Any]) -> Done:
    """Return what became of a step that was done elsewhere.

    Raises:
        UserError: nothing can go on until a person mends something.
        OSError: the disk takes no more.
        RuntimeError: a fault of the program, with its traceback.
    """
    kind, value = answer
    if kind == "full":
        raise OSError(value) from OSError(errno.ENOSPC, "the disk is full")
    if kind in _PROBLEMS:
        raise _PROBLEMS[kind](value)
    done: Done = value
    return done


def _steps_of_place(settings: Mapping[str, Any], place: str, device: str | None) -> dict[str, Step]:
    """Build the steps that an expert does, in a process of its own, which may lack the files of judges.

    Args:
        settings: of the run, as JSON has them.
        place: the expert's name.
        device: on which it computes, where it has devices.
    """
    from ..build import drawing_steps
    from ..recipe import CurateConfig

    config = CurateConfig.model_validate(settings)
    if device is not None and place in config.experts:
        own = config.experts[place].model_copy(update={"devices": [device]})
        config = config.model_copy(update={"experts": {**config.experts, place: own}})
    return {step.plan.name: step for step in drawing_steps(config) if place in step.plan.places()}


def do(step: Step, task: Task, pictures: Pictures, called: Callable[[], object] = lambda: None) -> Entry:
    """Do a step and return its entry, which no journal has yet; its pictures are on the disk.

    Args:
        step: that does it.
        task: which one.
        pictures: of the run.
        called: told when the step has ended.

    Raises:
        UserError: nothing can go on until a person mends something.
        OSError: a picture cannot be written.
    """
    began = time.monotonic()

    def entry(**told: object) -> Entry:
        return Entry(
            row=task.row.id,
            step=task.plan.name,
            id=task.id,
            attempt=task.attempt,
            time=now(),
            seconds=round(time.monotonic() - began, 3),
            **told,  # type: ignore[arg-type]
        )

    try:
        result = step(task, pictures)
    except Rejected as error:
        return entry(state="rejected", reason=str(error), values=error.values, notes=error.notes)
    except Again as error:
        return entry(state="failed", reason=str(error))
    called()
    stored = {name: pictures.add(picture) for name, picture in result.pictures.items()}
    return entry(
        state=result.state,
        reason=result.reason,
        pictures=stored,
        values=dict(result.values),
        notes=dict(result.notes),
    )
