"""The pictures of a run read once more: those whose bytes are not what their names say are moved away."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from ...uso_model.writing import remove_leftovers, retried, unwritten
from ..ahead import ahead
from .ledger import Ledger
from .listing import read_listing
from .pictures import FOLDER, Pictures, Stored
from .pipeline import Pipeline

__all__ = ["DAMAGED", "Verified", "verify"]

DAMAGED = "damaged"
"""Folder of a run to which damaged pictures are moved."""
_THREADS = 4


@dataclass
class Verified:
    """What was found."""

    right: int = 0
    damaged: list[str] = field(default_factory=list)
    """Names of pictures that were moved away."""
    absent: list[str] = field(default_factory=list)
    """Names of pictures that rows lack as the run's settings have them."""
    unreadable: list[str] = field(default_factory=list)
    """Pictures that the drive did not give, and why; they stay where they are."""


def verify(run: Path, pipeline: Pipeline) -> Verified:
    """Check the hash of every picture that a line tells of, and move away those that are damaged.

    The steps that made them are done again by the next run; what else lies in the folder is left alone. That a picture
    is gone which was made again with other bytes, or by settings that were left, is no damage.

    Args:
        run: its folder.
        pipeline: of the run, which says what of it is still asked for.

    Raises:
        UserError: pictures are gone, and so is the listing of the rows.
        OSError: a damaged picture cannot be moved.
    """
    ledger, found = Ledger(run), Verified()
    told = sorted({stored for entry in ledger.lines() for stored in entry.pictures.values()})
    gone: set[Stored] = set()
    with ThreadPoolExecutor(_THREADS) as threads:
        looks = ahead(threads, lambda one: _looked_at(ledger.pictures, one), told)
        for stored, looked in zip(told, looks, strict=True):
            path = ledger.pictures.path(stored.sha256)
            if isinstance(looked, OSError):
                found.unreadable.append(f"{path.name}: {looked.strerror or looked}")
            elif looked:
                found.right += 1
            elif path.exists():
                _move(path, run / DAMAGED / path.name)
                found.damaged.append(path.name)
            else:
                gone.add(stored)
    if gone:
        found.absent = sorted(f"{stored.sha256}.png" for stored in gone & _missed(pipeline, ledger))
    for folder in _folders(run):
        remove_leftovers(folder)
    return found


def _looked_at(pictures: Pictures, stored: Stored) -> bool | OSError:
    """Return whether a picture is right, or why that is not known."""
    try:
        return pictures.proves(stored)
    except OSError as error:
        return error


def _missed(pipeline: Pipeline, ledger: Ledger) -> set[Stored]:
    """Return the pictures of steps that the next run does again."""
    again = {task.id for row in read_listing(ledger.run) for task in pipeline.progress(row, ledger).tasks}
    return {stored for entry in ledger.lines() if entry.id in again for stored in entry.pictures.values()}


def _move(path: Path, to: Path) -> None:
    try:
        to.parent.mkdir(exist_ok=True)
        retried(lambda: path.replace(to))
    except OSError as error:
        raise unwritten(to, error) from error


def _folders(run: Path) -> Iterator[Path]:
    yield from (path for path in (run / FOLDER).glob("*") if path.is_dir())
