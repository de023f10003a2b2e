"""One driver at a time for each share of a run: a file with a heartbeat, whose age is told by the file system's clock.

`RUN/drivers/<uuid>.json`: host, process, share. Two drivers that run all the same, on a drive that hides the files of
one from the other, cost money and harm nothing: see `ledger.py`.
"""

from __future__ import annotations

import json
import logging
import math
import os
import platform
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from ....uso_model.errors import UserError
from ....uso_model.untrusted import named, quoted
from ....uso_model.writing import retried, unwritten
from ...evaluate.shards import WHOLE, Shard

__all__ = ["FOLDER", "STALE", "Lease", "Other", "living", "others"]

logger = logging.getLogger(__name__)

FOLDER = "drivers"
BEAT, STALE = 15.0, 120.0
"""Seconds between heartbeats, and from which age on their writer is taken for dead."""
_INVENTED = 1 << 40
"""Bit of an address that Python makes up, another one in each process, where it finds no card."""
_HERE = set[str]()
"""Leases that this process holds."""


@dataclass(frozen=True)
class Other:
    """What another driver's file says."""

    path: Path
    host: str
    pid: int
    shard: Shard
    since: float
    """When it began, by the file system's clock."""
    beat: float
    """When it was last heard of, by the same clock."""
    at_work: Mapping[str, Any] = field(default_factory=dict)
    """What it says of its work: see `Counts.told`."""
    machine: str = ""
    """See `_machine`; of an older version nothing, and so no machine that is known."""

    @property
    def died_here(self) -> bool:
        """Whether it was a process of this machine that is no more."""
        if self.machine != _machine():
            return False
        return not _alive(self.pid) if self.pid != os.getpid() else self.path.stem not in _HERE


class Lease:
    """Keeps other drivers from the same rows while it is held."""

    def __init__(
        self,
        run: Path,
        shard: Shard = WHOLE,
        say: Callable[[], Mapping[str, Any]] = dict,
        beat: float = BEAT,
        stale: float = STALE,
    ):
        """Take the folder of a run, the share of its rows, and what the heartbeat says besides."""
        self._say = say
        self._run, self._shard, self._pause, self._stale = run, shard, beat, stale
        self._path = run / FOLDER / f"{uuid.uuid4().hex}.json"
        self._since = 0.0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="heartbeat", daemon=True)
        self._lost: UserError | None = None

    def __enter__(self) -> Lease:
        """Claim the rows.

        Raises:
            UserError: another driver has them, or some of them; or there can be no such folder.
            OSError: the folder cannot be written to.
        """
        if "\0" in str(self._run) or self._run.is_file():
            what = "is a file" if self._run.is_file() else "is no path"
            raise UserError(f"{named(self._run)} {what}, expected the folder of a run; name another one")
        try:
            retried(lambda: self._path.parent.mkdir(parents=True, exist_ok=True))
            self._since = self._write()
            self._write()
        except OSError as error:
            raise unwritten(self._path, error) from error
        _HERE.add(self._path.stem)
        try:
            self._claim()
        except UserError:
            self._leave()
            raise
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
        self._leave()

    def why_lost(self) -> UserError | None:
        """Return why the rows are another driver's now, where they are: this one was asleep for too long."""
        return self._lost

    def _leave(self) -> None:
        _HERE.discard(self._path.stem)
        with suppress(OSError):  # it grows stale by itself
            retried(lambda: self._path.unlink(missing_ok=True))

    def _write(self) -> float:
        """Write the file anew, and return the time that its file system gives it."""
        told: dict[str, Any] = {
            "host": platform.node(),
            "machine": _machine(),
            "pid": os.getpid(),
            "shard": list(self._shard),
            "since": self._since or None,
        }
        told["at_work"] = dict(self._say())
        retried(lambda: self._path.write_text(json.dumps(told), encoding="utf-8"))
        return self._path.stat().st_mtime

    def _claim(self) -> None:
        """Look whether the rows are free, and remove the files of dead drivers.

        Raises:
            UserError: they are not.
        """
        for other in others(self._run):
            if other.path == self._path or not _overlap(other.shard, self._shard):
                continue
            if other.died_here or self._path.stat().st_mtime - other.beat > self._stale:
                logger.warning("going on with the rows of process %d on %s, which has died", other.pid, other.host)
                with suppress(OSError):  # another one was quicker
                    other.path.unlink()
            elif (other.since, other.path.name) < (self._since, self._path.name):
                raise UserError(
                    f"{named(self._run)} is at work in process {other.pid} on {quoted(other.host)} "
                    f"(--shard {other.shard[0]}/{other.shard[1]}); stop that one, or give each machine a share of the "
                    f"rows, such as --shard 1/2 and --shard 2/2"
                )

    def _keep(self) -> None:
        while not self._ended.wait(self._pause):
            try:
                gone = not self._path.exists()
                self._write()
                if gone:  # this machine was asleep, and was taken for dead
                    self._since = self._path.stat().st_mtime
                    self._claim()
            except UserError as error:
                self._lost = error
                return
            except OSError as error:
                logger.warning("the heartbeat cannot be written (%s); another machine may take over", error)


def living(run: Path) -> list[Other]:
    """Return the drivers that are at work, as far as the clocks of this machine and the file system agree."""
    return [other for other in others(run) if not other.died_here and time.time() - other.beat < STALE]


def others(run: Path) -> list[Other]:
    """Return what the drivers of a run say, the dead ones among them."""
    found = []
    for path in sorted((run / FOLDER).glob("*.json")):
        for wait in (0.0, 0.1, 0.3):  # it may be in the midst of being written
            time.sleep(wait)
            with suppress(OSError, ValueError, LookupError, TypeError):
                beat, told = path.stat().st_mtime, json.loads(path.read_text(encoding="utf-8"))
                shard, at_work = (int(told["shard"][0]), int(told["shard"][1])), dict(told.get("at_work", {}))
                since = beat if told["since"] is None else float(told["since"])
                host = str(told["host"]).partition("/")[0]  # behind it older versions wrote what is no name
                machine = str(told.get("machine", ""))
                found.append(Other(path, host, int(told["pid"]), shard, since, beat, at_work, machine))
                break
    return found


def _overlap(one: Shard, other: Shard) -> bool:
    """Whether two shares have rows in common: row n is in I/N when n leaves I-1 divided by N."""
    return (one[0] - other[0]) % math.gcd(one[1], other[1]) == 0


def _machine() -> str:
    """Return what tells this machine, as it is running, from others, whose numbers of processes say nothing here.

    Copies of a virtual machine have one name. Linux has an id of each start of its kernel, elsewhere a network card may
    tell. Processes of a container are counted by themselves.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{platform.node()}/{boot}/{os.stat('/proc/self/ns/pid').st_ino}"
    except (OSError, ValueError):
        card = uuid.getnode()
        return f"{platform.node()}/" + ("" if card & _INVENTED else f"{card:012x}")


def _alive(pid: int) -> bool:
    import psutil

    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:  # another user's
        return True
