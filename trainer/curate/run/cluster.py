"""The steps on a Ray cluster: each expert's in actors, each with a journal of its own; the rest on this machine.

Ray Core actors and not Ray Data, which keeps a block of rows or nothing: here a step counts as soon as its line is on
the shared disk. Actors of a driver that was killed go on for seconds, which two lines for one step make harmless.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from ....uso_model.errors import UserError
from ..ledger import Ledger
from ..pipeline import Pipeline
from ..recipe import CurateConfig, ExpertSettings
from ..steps import Row, Step, Task
from .driver import Counts, Driver
from .local import drive, workers_of
from .place import Place, Threads
from .worker import Done, Remote, Worker, value_of

__all__ = ["run_cluster"]

logger = logging.getLogger(__name__)

_RESTARTS, _TRIES = 100, 6
"""Of an actor in a run, and of a task whose actors die."""


def run_cluster(
    pipeline: Pipeline,
    steps: Sequence[Step],
    rows: Iterable[Row],
    ledger: Ledger,
    config: CurateConfig,
    *,
    retry_failed: bool = False,
    counts: Counts | None = None,
    lost: Callable[[], UserError | None] = lambda: None,
) -> Driver:
    """Do what is missing of every row on the cluster that this machine belongs to; see `run_local`.

    Where there is no cluster, Ray runs on this machine alone.

    Raises:
        ModuleNotFoundError: Ray is not installed.
        UserError: there is no cluster where `RAY_ADDRESS` says, or nothing can go on until a person mends something.
        OSError: the disk takes no more.
        KeyboardInterrupt: a person has stopped it.
    """
    import ray

    started = not ray.is_initialized()
    if started:
        try:
            ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.WARNING)
        except ConnectionError as error:
            raise UserError(
                f"no Ray cluster answers ({error}); start one with `ray start --head`, or unset RAY_ADDRESS"
            ) from error
    worker = Worker(ledger.run, {step.plan.name: step for step in steps}, ledger.pictures)
    try:
        places: dict[str, Place] = {
            name: Actors(ledger.run, config, name, workers)
            if name in config.experts
            else Threads(worker, workers, name)
            for name, workers in workers_of(steps).items()
        }
        return drive(pipeline, rows, ledger, places, retry_failed=retry_failed, counts=counts, lost=lost)
    finally:
        worker.close()
        if started:
            ray.shutdown()


class Actors:
    """The steps of one expert in actors."""

    def __init__(self, run: Path, config: CurateConfig, name: str, workers: int):
        """Make the actors: one for each device or graphics card, else one whose threads are the expert's workers."""
        import ray

        expert = config.experts[name]
        remote, settings = ray.remote(Remote), config.model_dump(mode="json")
        devices, threads = _devices(expert, workers)
        self._name = name
        self._free: list[Any] = []
        for device in devices:
            # No processor is asked for: most experts compute elsewhere, and one that does has few threads.
            options = {"num_cpus": 0, "num_gpus": expert.gpus, "max_restarts": _RESTARTS, "max_concurrency": threads}
            self._free += [remote.options(**options).remote(run.resolve(), settings, name, device)] * threads
        self.workers = len(self._free)

    async def do(self, task: Task, free: Callable[[], None]) -> Done:
        """Do it; see `Place`. No more than `workers` at once."""
        from ray.exceptions import RayActorError

        actor = self._free.pop(0)
        try:
            for pause in range(_TRIES):
                await asyncio.sleep(0.5 * pause)
                try:
                    return value_of(await actor.answer.remote(task))
                except RayActorError as error:  # what it has written counts, and the rest is done again
                    logger.warning("an actor of experts.%s has died and is started again", self._name)
                    last = error
            raise UserError(
                f"the actors of experts.{self._name} died {_TRIES} times in a row; look at `ray status` and Ray's logs"
            ) from last
        finally:
            self._free.append(actor)

    def close(self) -> None:
        """End the actors once what they are at has ended: nobody names them any more."""
        self._free.clear()


def _devices(expert: ExpertSettings, workers: int) -> tuple[list[str | None], int]:
    """Return the device of each actor, and the tasks at once of each; Ray shows an actor its own cards alone."""
    if expert.gpus:
        return ["cuda:0"] * (expert.workers or len(expert.devices) or 1), 1
    if expert.devices:
        return [*expert.devices], 1
    return [None], workers
