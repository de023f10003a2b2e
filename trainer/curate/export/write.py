"""An export is written beside its place and renamed, so that it is there whole or not at all."""

from __future__ import annotations

import os
import secrets
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from ....uso_model.errors import UserError
from ....uso_model.untrusted import named
from ....uso_model.writing import atomic_write, fsync, retried, unwritten
from ...ahead import ahead
from ...data.names import MANIFEST
from ...replacing import require_new
from ..pictures import FOLDER
from .accepted import Accepted, Set, accepted_set, picture_size
from .card import Statistics, card
from .files import DATA, Split
from .folder import write_folder
from .parquet import features, write_parquet
from .webdataset import write_webdataset

__all__ = ["FORMATS", "Format", "write_export"]

Format = Literal["folder", "webdataset", "parquet"]
FORMATS: tuple[Format, ...] = ("folder", "webdataset", "parquet")
CARD = "README.md"
_OURS = {CARD, MANIFEST, FOLDER, DATA}
_HIDDEN = ".uso-export-"
_DAY = 86_400
_ROOM = 1.05
_FLUSHING = 8
"""Files at once; a disk takes them together."""


def write_export(run: Path, out: Path, format_: Format = "folder", force: bool = False) -> int:
    """Write the accepted rows of a run as a data set of its own; return how many there are.

    Args:
        run: folder with `manifest.jsonl`.
        out: folder to write.
        format_: of the data files.
        force: write over an export that is there.

    Raises:
        UserError: there are no rows, a picture is damaged, or something else is in the way.
        OSError: a file cannot be written.
    """
    require_new([out], force)
    if out.exists() and not out.is_dir():
        raise UserError(f"{named(out)} is a file and no folder; name another place")
    others = sorted({path.name for path in out.iterdir()} - _OURS) if out.is_dir() else []
    if others:
        raise UserError(f"{named(out)} is no export, it holds {named(others[0])}; name another place")
    found = accepted_set(run)
    scores, size = _measured(found, format_)
    with _renamed(out, size) as folder:
        statistics = Statistics()
        splits = _written(_counted(found, statistics), folder, format_, scores)
        told = _columns(features(scores)) if format_ == "parquet" else None
        text = card(statistics, splits, found.made, found.recipe, told)
        atomic_write(folder / CARD, lambda path: Path(path).write_text(text, encoding="utf-8"))
    return statistics.rows


def _measured(found: Set, format_: Format) -> tuple[set[str], int]:
    """Return the names of all scores, and how many bytes of pictures the export has.

    A folder holds a picture once, whichever rows show it; in the files of the other formats each row has its own.
    """
    scores: set[str] = set()
    written: set[Path] = set()
    size = 0
    for one in found:
        scores |= set(one.row.scores)
        pictures = [path for path in one.row.pictures if path not in written]
        if format_ == "folder":
            pictures = list(dict.fromkeys(pictures))
            written.update(pictures)
        size += sum(map(picture_size, pictures))
    return scores, size


def _counted(found: Set, statistics: Statistics) -> Iterator[Accepted]:
    for one in found:
        statistics.add(one)
        yield one


def _written(rows: Iterator[Accepted], folder: Path, format_: Format, scores: set[str]) -> dict[str, Split]:
    if format_ == "parquet":
        return write_parquet(rows, folder, scores)
    return (write_folder if format_ == "folder" else write_webdataset)(rows, folder)


def _columns(told: dict[str, Any]) -> list[dict[str, Any]]:
    """Return columns as the YAML of a data card has them."""
    found: list[dict[str, Any]] = []
    for name, kind in told.items():
        if kind.get("_type") == "Image":
            found.append({"name": name, "dtype": "image"})
        elif kind.get("_type") == "Sequence":
            found.append({"name": name, "sequence": "image"})
        elif kind.get("_type") == "Value":
            found.append({"name": name, "dtype": kind["dtype"]})
        else:
            found.append({"name": name, "struct": _columns(kind)})
    return found


@contextmanager
def _renamed(out: Path, size: int) -> Iterator[Path]:
    """Give a new folder, which takes the place of `out` when all went well and is removed when not."""
    out = Path(os.path.abspath(out))
    parent = out.parent
    temporary = parent / f"{_HIDDEN}{secrets.token_hex(6)}"
    try:
        parent.mkdir(parents=True, exist_ok=True)
        _sweep(parent)
        free = shutil.disk_usage(parent).free
        if free < _ROOM * size:
            needed = f"the export needs {_ROOM * size / 1e6:,.1f} MB"
            raise OSError(f"{named(parent)} has {free / 1e6:,.1f} MB free, {needed}; make room")
        temporary.mkdir()
        yield temporary
        _flush(temporary)
        _put(temporary, out)
        fsync(parent)
    except OSError as error:
        raise error if error.errno is None else unwritten(out, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _flush(folder: Path) -> None:
    """Wait until all that a folder holds is on the disk, which has had most of it written while the rest was made."""
    with ThreadPoolExecutor(_FLUSHING) as pool:
        for _ in ahead(pool, fsync, _inside(folder)):
            pass


def _inside(folder: Path) -> Iterator[Path]:
    """Yield all files in a folder and, behind what lies in it, each folder, at last itself."""
    for inner, _, files in os.walk(folder, topdown=False):
        yield from (Path(inner, name) for name in files)
        yield Path(inner)


def _put(folder: Path, out: Path) -> None:
    """Rename a folder, over an export that is there."""
    if not out.exists():
        retried(lambda: folder.rename(out))
        return
    old = folder.with_name(f"{folder.name}-old")
    retried(lambda: out.rename(old))
    try:
        retried(lambda: folder.rename(out))
    except OSError:
        old.rename(out)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _sweep(parent: Path) -> None:
    """Remove what killed exports have left."""
    for left in parent.glob(f"{_HIDDEN}*"):
        if time.time() - left.stat().st_mtime > _DAY:
            shutil.rmtree(left, ignore_errors=True)
