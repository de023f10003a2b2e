"""One training for a node: under which name it runs, and what it leaves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import folder_paths

from ...trainer.problems import ChangedError
from .folders import training_folder
from .memory import child_environment
from .process import Process
from .progress import Progress, whole
from .results import TakenError, placed, require_export, require_free_names, require_writable
from .run import follow

__all__ = ["trained"]

_MOST_NAMES = 100


def trained(run: Path, words: Callable[[Path], Sequence[str]], new_name: bool) -> tuple[Path, list[str]]:
    """Train in a folder, or go on with the run in it, and return the folder and what the trainer has warned of.

    Args:
        run: folder of the run.
        words: the command line for a folder.
        new_name: where the folder's run began with other settings or pictures, take the next name with a number.

    Raises:
        UserError: the training ended with an error; see `follow`.
        OSError: the process cannot be started, or its files not be put in place.
    """
    require_writable()
    for number in range(2, _MOST_NAMES):
        try:
            require_free_names(run)
            return run, _trained(run, words(run))
        except (ChangedError, TakenError):
            if not new_name:
                raise
        first = run.name if number == 2 else run.name.rpartition("-")[0]
        run = run.with_name(f"{first}-{number}")
    return run, _trained(run, words(run))


def _trained(run: Path, command: Sequence[str]) -> list[str]:
    progress = Progress(run.name)
    progress.refresh(now=True)
    log = training_folder("logs", f"{run.name}.log")
    stayed: list[str] = []

    def exported() -> None:
        stayed[:] = placed(run)  # of earlier calls too, as each tries them all again

    with Process(command, Path(folder_paths.base_path), log, child_environment()) as process:
        done = follow(process, progress, exported)
    require_export(run, whole(done.get("step")))
    for why in stayed:
        progress.warn(why)
    progress.head = f"{run.name}: {whole(done.get('steps'))} steps are done"
    progress.refresh(now=True)
    return progress.warnings
