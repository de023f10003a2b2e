"""Work in several steps that can be interrupted anywhere: a step counts as done when its mark is there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

__all__ = ["once"]


def once(folder: Path, step: str, make: Callable[[], object]) -> None:
    """Call `make` unless an earlier call has returned.

    The files that a step writes do not prove that it was finished, so an empty file `STEP.done` in the folder does. It
    is written last.

    Args:
        folder: of what the step writes; the mark goes with the files when the folder is moved or deleted.
        step: name of the step.
        make: does the step. When it was interrupted it is called again, with whatever it left behind.
    """
    mark = folder / f"{step}.done"
    if not mark.is_file():
        make()
        folder.mkdir(parents=True, exist_ok=True)
        mark.touch()
