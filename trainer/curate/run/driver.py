"""Who says what is done next: rows come in as places have room, and each goes from step to step.

Never more than a bounded number of rows is in memory, however long the source is: a row is taken from it when another
one has ended. All that is read and changed here belongs to one thread, that of the event loop.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice

from ..ledger import Entry, Ledger
from ..pipeline import Pipeline, Progress
from ..steps import Row, Task
from .place import Place

__all__ = ["Counts", "Driver"]

_READ = 64
"""Rows that are taken from the source at once: each time costs the loop a turn on another thread."""
GRACE = 60.0
"""Seconds for steps in flight when the run stops because of a problem. Most are found again at the next start."""
_LOOK = 0.2
"""Seconds between looks whether there is one."""
_SPARE = 16
"""Rows in memory beyond two for each worker."""


@dataclass
class Counts:
    """What a driver knows of its run."""

    total: int | None = None
    """Rows of the source, where that is known."""
    rows: int = 0
    """Taken from the source."""
    open: int = 0
    """Rows in memory."""
    standings: Counter[str] = field(default_factory=Counter)
    """Of rows that are through."""
    waiting: Counter[str] = field(default_factory=Counter)
    """Tasks of each step that wait for a worker."""
    running: Counter[str] = field(default_factory=Counter)
    """Tasks of each step that are being done."""
    done: Counter[str] = field(default_factory=Counter)
    """Tasks of each step that this driver has seen end."""
    again: int = 0
    """Of these, those that were not the first attempt."""

    def told(self) -> dict[str, object]:
        """Return what a heartbeat says of a driver, from a thread of its own: the loop adds names meanwhile."""
        waiting, running = dict(self.waiting), dict(self.running)  # copied in one go
        return {
            "total": self.total,
            "through": self.standings.total(),
            "waiting": {name: count for name, count in waiting.items() if count},
            "running": {name: count for name, count in running.items() if count},
        }


class Driver:
    """Has done what is missing."""

    def __init__(
        self,
        pipeline: Pipeline,
        ledger: Ledger,
        places: Mapping[str, Place],
        *,
        retry_failed: bool = False,
        stopping: Callable[[], bool] = lambda: False,
        counts: Counts | None = None,
    ):
        """Take the steps, the ledger and the place of each expert.

        Args:
            pipeline: says what is next for a row.
            ledger: says what was done.
            places: who does the steps of each expert.
            retry_failed: try steps once more that have used up their attempts in earlier runs.
            stopping: whether no more steps are to be begun.
            counts: to keep, where somebody looks at them.
        """
        self.counts = counts or Counts()
        self._pipeline, self._ledger, self._places = pipeline, ledger, places
        self._retry_failed, self._asked_to_stop = retry_failed, stopping
        self._slots = {name: asyncio.Semaphore(place.workers) for name, place in places.items()}
        self._most = _SPARE + 2 * sum(place.workers for place in places.values())
        # Not told by times: another machine's clock may be ahead.
        self._earlier = {entry.id for entry in ledger.lines() if entry.state in ("failed", "unjudged")}
        self._problem: BaseException | None = None

    async def run(self, rows: Iterable[Row]) -> None:
        """Do what is missing of every row, and what other drivers have left undone of them meanwhile.

        Args:
            rows: read once more where other drivers have been at work.

        Raises:
            UserError: nothing can go on until a person mends something.
            OSError: the disk takes no more.
        """
        while True:
            done = self.counts.done.total()
            self.counts.rows, self.counts.standings = 0, Counter()
            await self._pass_or_problem(iter(rows))
            if self._problem is not None:
                raise self._problem
            # Another writer's line may come before ours, with another picture: then steps behind it are missing.
            if self._stopping() or self.counts.done.total() == done or not self._ledger.update():
                return

    async def _pass_or_problem(self, rows: Iterator[Row]) -> None:
        """Take all rows; once a person must mend something, what is in flight has some time to end.

        An expert may wait for a server for ever.
        """
        passing = asyncio.create_task(self._pass(rows))
        while not passing.done() and self._problem is None:
            await asyncio.wait({passing}, timeout=_LOOK)
        await asyncio.wait({passing}, timeout=GRACE)
        if passing.done():
            passing.result()

    def _stopping(self) -> bool:
        return self._problem is not None or self._asked_to_stop()

    async def _pass(self, rows: Iterator[Row]) -> None:
        """Take all rows from a source, each as soon as there is room for it."""
        open_rows: set[asyncio.Task[None]] = set()
        while not self._stopping():
            # A source reads files, and may be slow.
            taken = await asyncio.to_thread(lambda: list(islice(rows, _READ)))
            if not taken:
                break
            for row in taken:
                if self._stopping():
                    break
                self.counts.rows += 1
                progress = self._looked_at(row)
                if progress is None:
                    break
                if not progress.tasks:
                    self.counts.standings[progress.standing] += 1
                    continue
                while len(open_rows) >= self._most:
                    open_rows = await self._first(open_rows)
                open_rows.add(asyncio.create_task(self._row(row)))
                self.counts.open = len(open_rows)
        while open_rows:
            open_rows = await self._first(open_rows)
            self.counts.open = len(open_rows)

    async def _row(self, row: Row) -> None:
        """Do what is missing of a row; what goes wrong is kept for `run`, and nothing more is begun."""
        flying: dict[asyncio.Task[None], str] = {}
        wanted: set[str] = set()
        while True:
            progress = self._looked_at(row)
            tasks = progress.tasks if progress is not None else []
            wanted.clear()
            wanted.update(task.id for task in tasks)
            for task in tasks if not self._stopping() else ():
                if task.id not in flying.values():
                    flying[asyncio.create_task(self._task(task, wanted))] = task.id
            if not flying:
                break
            left = await self._first(flying)
            flying = {one: id_ for one, id_ in flying.items() if one in left}
        if progress is not None and progress.standing != "open":  # that is how the run's stop leaves it
            self.counts.standings[progress.standing] += 1

    async def _first(self, tasks: Collection[asyncio.Task[None]]) -> set[asyncio.Task[None]]:
        """Wait for the first of them that end, keep what went wrong in these, and return the others."""
        ended, left = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for one in ended:
            self._problem = self._problem or one.exception()
        return left

    async def _task(self, task: Task, wanted: set[str]) -> None:
        """Have a step done when a worker is free and the row has not been rejected meanwhile."""
        place, step = task.plan.place(task.row.layout), task.plan.name
        self.counts.waiting[step] += 1
        await self._slots[place].acquire()
        free = _once(self._slots[place].release)
        self.counts.waiting[step] -= 1
        try:
            if self._stopping() or task.id not in wanted:
                return
            self.counts.running[step] += 1
            try:
                entry, writer = await self._places[place].do(task, free)
            finally:
                self.counts.running[step] -= 1
        finally:
            free()
        self._ledger.take(entry, writer)
        self.counts.done[step] += 1
        self.counts.again += task.attempt > 0

    def _looked_at(self, row: Row) -> Progress | None:
        """Return how far a row is; None where its pictures cannot be looked for, which is kept for `run`.

        No exception goes up from here: what is in flight ends first, and its results count.
        """
        try:
            return self._pipeline.progress(row, self._ledger, self._again)
        except Exception as error:  # whatever it is: a row that is lost is found by nobody
            self._problem = self._problem or error
            return None

    def _again(self, entry: Entry) -> bool:
        """Whether an entry that ended badly is of an earlier run and to be tried once more."""
        if entry.state == "failed" and not self._retry_failed:
            return False
        return entry.id in self._earlier


def _once(call: Callable[[], None]) -> Callable[[], None]:
    """Return what calls something at its first call alone."""
    calls = iter([call])

    def first() -> None:
        next(calls, lambda: None)()

    return first
