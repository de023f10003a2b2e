"""One process at a time works in a run's folder."""

from __future__ import annotations

import json
import logging
import os
import platform
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from ...uso_model.errors import UserError

__all__ = ["LOCK", "locked"]

logger = logging.getLogger(__name__)

LOCK = ".lock"
"""File that the process holds. The system lets go of it when the process ends, however it ends."""

_HOLDER = ".json"
"""Ending of the file with host and process, for a message; nobody can read a file that is locked on Windows."""


@contextmanager
def locked(
    run_dir: Path,
    name: str = LOCK,
    doing: str = "trained",
    place: str = "another loop.run_dir",
    patience: float = 0,
) -> Iterator[None]:
    """Keep other processes out of a run's folder, which is made where it lacks. May be nested.

    The lock is on the file, not on its address: the folder may be moved meanwhile, and a copy of it is free.

    Args:
        run_dir: the folder.
        name: of the file; those who take another do not meet.
        doing: what happens to the run, for the message.
        place: what to use instead, for the message.
        patience: seconds to wait for another process.

    Raises:
        UserError: another process works there.
        OSError: the folder cannot be written to.
    """
    made = [folder for folder in (run_dir, *run_dir.parents) if not folder.exists()]
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
        lock = FileLock(run_dir.absolute() / name, timeout=0, is_singleton=True)
        lock.acquire(timeout=patience)
    except Timeout as error:
        raise UserError(
            f"{run_dir} is being {doing} in {_holder(run_dir / (name + _HOLDER))}; wait until that ends or stop it, or "
            f"use {place}"
        ) from error
    except NotImplementedError as error:  # some network drives
        logger.warning("%s: its drive has no locks (%s); take care that no two runs share it", run_dir, error)
        yield
        return
    except OSError as error:
        raise OSError(
            f"{run_dir} cannot be written to ({error.strerror}); choose {place} or mend its rights"
        ) from error
    try:
        with suppress(OSError):  # it is for a message only
            told = {"host": platform.node(), "pid": os.getpid()}
            (run_dir / (name + _HOLDER)).write_text(json.dumps(told), encoding="utf-8")
        yield
    finally:
        lock.release()
        own = (name + _HOLDER, name)
        if made and {path.name for path in run_dir.iterdir()} <= set(own):
            _take_back(made, own)


def _take_back(made: Sequence[Path], own: Sequence[str]) -> None:
    """Remove the folders of a run that came to nothing."""
    with suppress(OSError):  # another process has come
        for name in own:
            (made[0] / name).unlink(missing_ok=True)
        for folder in made:
            folder.rmdir()


def _holder(file: Path) -> str:
    try:
        told = json.loads(file.read_text(encoding="utf-8"))
        return f"by process {told['pid']} on {told['host']}"
    except (OSError, ValueError, LookupError, TypeError):
        return "by another process"
