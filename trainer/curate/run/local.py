"""The steps on this machine: threads of this process, and a process for each device of our own networks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence

from ....uso_model.errors import UserError
from ....uso_model.writing import is_full
from ...engine.signals import Leaving
from ..ledger import Ledger
from ..pipeline import Pipeline
from ..recipe import CurateConfig
from ..steps import Row, Step
from .driver import Counts, Driver
from .live import Live
from .place import Place, Threads
from .processes import Processes
from .room import with_room
from .worker import Worker

__all__ = ["drive", "run_local", "workers_of"]


def run_local(
    pipeline: Pipeline,
    steps: Sequence[Step],
    rows: Iterable[Row],
    ledger: Ledger,
    config: CurateConfig | None = None,
    *,
    retry_failed: bool = False,
    counts: Counts | None = None,
    lost: Callable[[], UserError | None] = lambda: None,
) -> Driver:
    """Do what is missing of every row, and return who did it, with its counts.

    Args:
        pipeline: of the steps.
        steps: in their order.
        rows: of the source; see `Driver.run`.
        ledger: of the run.
        config: settings, from which processes build the steps of experts with devices; without them all is done here.
        retry_failed: see `Driver`.
        counts: to keep, where somebody looks at them.
        lost: why the rows are another driver's now, which ends this one.

    Raises:
        UserError: nothing can go on until a person mends something.
        OSError: the disk takes no more.
        KeyboardInterrupt: a person has stopped it; nothing that had ended is lost.
    """
    worker = Worker(ledger.run, {step.plan.name: step for step in steps}, ledger.pictures)
    places: dict[str, Place] = {}
    for name, workers in workers_of(steps).items():
        devices = config.experts[name].devices if config is not None and name in config.experts else []
        if config is not None and devices:
            places[name] = Processes(ledger.run, config.model_dump(mode="json"), name, devices)
        else:
            places[name] = Threads(worker, workers, name)
    try:
        return drive(pipeline, rows, ledger, places, retry_failed=retry_failed, counts=counts, lost=lost)
    finally:
        worker.close()


def workers_of(steps: Iterable[Step]) -> dict[str, int]:
    """Return the experts of steps, and how many calls each takes at once."""
    found: dict[str, int] = {}
    for step in steps:
        for name, workers in step.plan.places().items():
            found[name] = max(workers, found.get(name, 1))
    return found


def drive(
    pipeline: Pipeline,
    rows: Iterable[Row],
    ledger: Ledger,
    places: Mapping[str, Place],
    *,
    retry_failed: bool,
    counts: Counts | None,
    lost: Callable[[], UserError | None],
) -> Driver:
    """Have all done by these places, and close them; see `run_local`."""
    try:
        with Leaving() as leaving:
            driver = Driver(
                pipeline,
                ledger,
                places,
                retry_failed=retry_failed,
                stopping=lambda: leaving.asked() or lost() is not None,
                counts=counts,
            )
            with Live(driver.counts):
                asyncio.run(driver.run(rows))
            if (reason := lost()) is not None:
                raise reason
            if leaving.asked():
                raise KeyboardInterrupt
        return driver
    except OSError as error:
        if not is_full(error):
            raise
        raise with_room(error, pipeline, ledger, rows) from error
    finally:
        for place in places.values():
            place.close()
