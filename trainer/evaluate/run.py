"""Drawing the pictures of a bench: each once, whenever it is stopped, and all by one model."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from ...uso_model.errors import UserError
from ...uso_model.untrusted import field, named, parse_json, quoted, read_text
from ...uso_model.writing import atomic_write, remove_leftovers
from ..engine.lock import LOCK, locked
from ..engine.telling import telling
from .bench import PICTURES, Bench, Row, picture_name, read_bench, require_pictures, seed_of
from .drawers.drawer import Drawer
from .shards import WHOLE, Shard, shard_name

__all__ = ["RUN", "Drawn", "Job", "batches", "chosen_rows", "draw_bench", "is_whole"]

RUN = "run.json"
"""What draws which bench, in the folder of the drawings."""

MOMENT = 0.5
"""Seconds after which a lock is not that of a shard that begins, too."""

_FORMAT = "uso-run-1"

_END = b"\0\0\0\0IEND\xaeB`\x82"
"""Last bytes of every PNG."""

# What Pillow raises on damaged PNG files.
_DAMAGE = (OSError, SyntaxError, ValueError, EOFError, LookupError, ArithmeticError)


class Job(NamedTuple):
    """One picture to draw."""

    row: Row
    sample: int
    seed: int


@dataclass
class Drawn:
    """What a run has done."""

    pictures: int = 0
    """That this shard has, with those that were there."""
    drawn: int = 0
    """Now."""
    damaged: int = 0
    """That were there, and were drawn again."""
    other_size: int = 0
    """Of those that were drawn now."""


def batches(bench: Bench, rows: Sequence[Row], most: int) -> list[list[Job]]:
    """Return all pictures of a bench in its order, in batches of at most `most` pictures of one `Row.group`.

    They depend on the bench and on `most` alone: a picture is drawn in the same company whatever is missing.
    """
    found: list[list[Job]] = []
    for row in rows:
        for sample in range(row.samples):
            if not found or len(found[-1]) == most or found[-1][-1].row.group != row.group:
                found.append([])
            found[-1].append(Job(row, sample, seed_of(bench, row, sample)))
    return found


def chosen_rows(rows: Sequence[Row], limit: int | None) -> list[Row]:
    """Return the first `limit` rows of each task; None: all of them."""
    counts: dict[str, int] = {}
    found = []
    for row in rows:
        counts[row.task] = counts.get(row.task, 0) + 1
        if limit is None or counts[row.task] <= limit:
            found.append(row)
    return found


def draw_bench(
    bench_folder: Path, folder: Path, drawer: Drawer, shard: Shard = WHOLE, limit: int | None = None
) -> Drawn:
    """Draw what is missing of a bench into `folder/pictures`, and keep in `folder/run.json` what drew it.

    Whole pictures that are there are kept, damaged ones are drawn again.

    Args:
        bench_folder: of the bench.
        folder: of the run; made where it lacks.
        drawer: who draws.
        shard: which share of the batches to draw.
        limit: draw only batches that hold one of the first so many rows of a task.

    Raises:
        UserError: the bench is damaged, or the folder belongs to another bench or model, or is being drawn in.
        OSError: a picture cannot be written.
    """
    bench, rows, digest = read_bench(bench_folder)
    number, of = shard
    wanted = {row.id for row in chosen_rows(rows, limit)}
    every = [batch for batch in batches(bench, rows, drawer.batch) if any(job.row.id in wanted for job in batch)]
    done = Drawn()
    with _alone(folder, shard):
        pictures = folder / PICTURES
        with telling("looking at the pictures that are there"):
            require_pictures(bench_folder, bench)
            _require_same(folder, bench, digest, drawer)
            remove_leftovers(pictures, age=0 if of == 1 else 3600)
            missing = list(_missing(every[number - 1 :: of], pictures, done))
        prepare = getattr(drawer, "prepare", None)
        if missing and prepare is not None:
            prepare([job.row for batch, _ in missing for job in batch])
        total = sum(len(lacking) for _, lacking in missing)
        with telling("drawing") as phase:
            for batch, lacking in missing:
                phase.now = f"drew {done.drawn} of {total} pictures, now of task {batch[0].row.task}"
                drawn = drawer([j.row for j in batch], [j.sample for j in batch], [j.seed for j in batch])
                for job, picture in zip(batch, drawn, strict=True):
                    if job in lacking:
                        _write(picture, pictures / picture_name(job.row, job.sample))
                        done.drawn += 1
                        done.other_size += picture.size != (bench.width, bench.height)
    done.pictures += done.drawn
    return done


@contextmanager
def _alone(folder: Path, shard: Shard) -> Iterator[None]:
    """Keep out who draws the same: another process of this shard, a whole run of shards, and shards of a whole run.

    Raises:
        UserError: another process draws there.
        OSError: the folder cannot be written to.
    """
    place = "another folder for these pictures"
    with ExitStack() as held:
        held.enter_context(locked(folder, LOCK + shard_name(shard), "drawn", place))
        if shard[1] == 1:
            for path in sorted(folder.glob(f"{LOCK}-*-of-*[0-9]")):
                held.enter_context(locked(folder, path.name, "drawn", place))
        else:
            with locked(folder, LOCK, "drawn", place, patience=MOMENT):
                pass  # no whole run is there, and none begins while a shard holds its own
        yield


def _missing(every: Sequence[list[Job]], pictures: Path, done: Drawn) -> Iterator[tuple[list[Job], list[Job]]]:
    """Yield the batches that lack pictures, with what they lack."""
    for batch in every:
        lacking = []
        for job in batch:
            path = pictures / picture_name(job.row, job.sample)
            if is_whole(path):
                done.pictures += 1
            else:
                done.damaged += path.exists()
                lacking.append(job)
        if lacking:
            yield batch, lacking


def is_whole(path: Path) -> bool:
    """Say whether a PNG is there with every byte that was written, by the sums that it holds of them."""
    try:
        with path.open("rb") as file:
            file.seek(-len(_END), os.SEEK_END)
            if file.read() != _END:
                return False
            file.seek(0)
            with Image.open(file, formats=("PNG",)) as picture:
                picture.verify()
    except (Image.DecompressionBombError, *_DAMAGE):
        return False
    return True


def _write(picture: Image.Image, path: Path) -> None:
    # A lost picture is drawn again, so nothing waits for the disk.
    atomic_write(path, lambda temporary: picture.convert("RGB").save(temporary, format="PNG"), durable=False)


def _require_same(folder: Path, bench: Bench, digest: str, drawer: Drawer) -> None:
    """Keep what draws, or compare it with what has begun to draw here.

    Raises:
        UserError: the folder has pictures of another bench or by another model, or its file of it is damaged.
    """
    path = folder / RUN
    now: dict[str, Any] = {
        "format": _FORMAT,
        "protocol": bench.protocol,
        "bench": digest,
        "drawer": drawer.describe(),
        "batch": drawer.batch,  # batches are dealt out to shards, so they must be the same ones for all
        "noise": getattr(drawer, "noise", None),
    }
    now = json.loads(json.dumps(now))
    cure = "use another folder for these pictures"
    if not path.is_file():
        if any((folder / PICTURES).glob("*.png")):
            raise UserError(f"{named(folder)} has pictures and no {RUN} that says who drew them; {cure}")
        text = json.dumps(now, indent=1)
        atomic_write(path, lambda temporary: Path(temporary).write_text(text, encoding="utf-8"))
        return
    began = parse_json(read_text(path, cure), named(path))
    if field(began, "format", str, named(path)) != _FORMAT:
        raise UserError(f"{named(path)} is no run of a bench; {cure}")
    was, will = dict(_flat({"batch": now["batch"], "noise": now["noise"], **began})), dict(_flat(now))
    changed = [name for name in sorted(was.keys() | will.keys()) if was.get(name) != will.get(name)]
    if changed:
        shown = [f"{name} was {quoted(was.get(name))} and is now {quoted(will.get(name))}" for name in changed[:4]]
        more = f", and {len(changed) - 4} more" if len(changed) > 4 else ""
        raise UserError(f"{named(folder)} began with something else: {', '.join(shown)}{more}; {cure}")


def _flat(values: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(values, dict) and values:
        for name, value in values.items():
            yield from _flat(value, f"{prefix}.{name}" if prefix else str(name))
    else:
        yield prefix, values
