"""The first and the last event of a run: which one it is, where it goes on, and what it leaves."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .engine.checkpoint import checkpoints
from .engine.events import EVENTS, PROTOCOL
from .export.names import exported
from .recipe import TrainConfig

__all__ = ["planned", "steps_done", "tell_end", "told"]


def steps_done(config: TrainConfig) -> int:
    """Return the step of a run's newest checkpoint, 0 where it has none."""
    return max((found.step for found in checkpoints(config.loop.run_dir)), default=0)


def planned(config: TrainConfig) -> int | None:
    """Return the steps of a run, None where epochs are asked for, whose length is known with the rows."""
    return None if config.loop.epochs is not None else config.loop.steps


@contextmanager
def told(config: TrainConfig) -> Iterator[None]:
    """Write the event `start`, and `stopped` where what is inside is interrupted."""
    if EVENTS.wanted:
        folder = config.loop.run_dir.absolute()
        EVENTS.emit(
            "start",
            protocol=PROTOCOL,
            run=folder,
            name=folder.name,
            out=config.folder.absolute(),
            pid=os.getpid(),
            step=steps_done(config),
            steps=planned(config),
        )
    try:
        yield
    except KeyboardInterrupt:
        _tell_last("stopped", config, steps_done(config), planned(config))
        raise


def tell_end(config: TrainConfig, done: int, steps: int | None) -> None:
    """Write the event `done` or `stopped`.

    Args:
        config: of the run.
        done: finished steps.
        steps: all of them, None where their number was not yet known.
    """
    _tell_last("stopped" if steps is None or done < steps else "done", config, done, steps)


def _tell_last(event: str, config: TrainConfig, done: int, steps: int | None) -> None:
    if EVENTS.wanted:
        EVENTS.emit(event, step=done, steps=steps, files=_files(config))


def _files(config: TrainConfig) -> list[dict[str, Any]]:
    """Return what a run has exported, oldest step first."""
    name = config.loop.run_dir.absolute().name
    found = [file for file in exported(config.folder) if file.run == name]
    return [{"step": file.step, "part": file.part, "path": file.path.absolute()} for file in found]
