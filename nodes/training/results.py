"""What a run has exported, put where ComfyUI's loaders find it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import NamedTuple

import folder_paths

from ...trainer.export.names import OWN, PROJECTOR, WITH_START, WITH_USO, Exported, exported
from ...uso_model.errors import UserError
from ...uso_model.untrusted import named, quoted
from ...uso_model.writing import atomic_write, left_behind, unwritten

__all__ = ["Results", "TakenError", "placed", "require_export", "require_free_names", "require_writable", "results"]

FOLDER = "uso"
"""Sub-folder of `models/loras` and `models/model_patches`."""
_WHOLE = (WITH_USO, WITH_START)
_RUN, _IDENTITY = "uso.run", "run.json"
"""Metadata of an exported file, and the file in a run's folder, which both tell the run."""


class TakenError(UserError):
    """A name that files of another run have."""


class Results(NamedTuple):
    """Names of a run's files, as ComfyUI's lists have them; None where the run has no such file."""

    lora: str | None
    """What was trained, of the newest step."""
    whole: str | None
    """That together with the LoRA beside which it was trained; where it was trained alone, itself."""
    projector: str | None
    checkpoints: list[tuple[int, str]]
    """Step and LoRA of every checkpoint, the oldest first."""


def require_free_names(run: Path) -> None:
    """Make sure that no file of another run has the names that a run's files will have.

    Raises:
        TakenError: one has.
    """
    for place in _places():
        for file in exported(place):
            if file.run == run.name and not _is_of(file.path, run):
                raise TakenError(
                    f"Got the name {quoted(run.name)!r}, which another training has given to "
                    f"{quoted(file.path.name)} in {place.parent.name}/{FOLDER}, expected a new one: choose another "
                    "name, or move the file away."
                )


def require_writable() -> None:
    """Make sure that files can be written into the folders for LoRAs and projectors.

    Raises:
        UserError: they cannot.
    """
    for place in _places():
        try:
            place.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=place).close()
        except OSError as error:
            raise UserError(
                f"{named(place)} cannot be written to ({error.strerror}), expected a folder for what is trained: "
                "correct its permissions, or give ComfyUI another one in extra_model_paths.yaml."
            ) from error


def require_export(run: Path, step: int) -> None:
    """Make sure that a run has exported a step.

    Raises:
        UserError: it has not.
    """
    out = run / "out"
    newest = max((file.step for file in exported(out)), default=0)
    if newest < step:
        older = f"those of step {newest}" if newest else "none"
        raise UserError(
            f"The training {quoted(run.name)!r} is done, but {named(out)} has {older}, expected the files of step "
            f"{step}: make room on the disk, then queue again, which writes them."
        )


def placed(run: Path) -> list[str]:
    """Put a run's exports into ComfyUI's folders, and return a sentence on each older file that had to stay there.

    They are hard links where both lie on one drive, and copies elsewhere. What the run itself keeps of its newest step
    alone, because it is large, is kept so here, but for files that another program holds: ComfyUI itself, on Windows.

    Raises:
        OSError: a file cannot be written, in a sentence that says which and what to do.
    """
    there = exported(run / "out")
    for file in there:
        _place(file)
    stayed: list[str | None] = []
    kept = {file.path.name for file in there}
    for place in _places() if there else ():
        for file in exported(place):
            older = file.part != OWN and file.step < there[-1].step and file.path.name not in kept
            if older and file.run == run.name and _is_of(file.path, run):
                stayed.append(left_behind(file.path, patient=False))  # a training waits here, and so does Cancel
    for kind in ("loras", "model_patches"):  # whose lists are read again where a folder has changed since
        folder_paths.filename_list_cache.pop(kind, None)
    return [why for why in stayed if why is not None]


def results(run: Path) -> Results:
    """Return the names of a run's exports."""
    there = exported(run / "out")
    newest = {file.part: os.path.join(FOLDER, file.path.name) for file in there}
    loras = [file for file in there if file.part == OWN]
    own = newest.get(OWN)
    return Results(
        own,
        next((newest[part] for part in _WHOLE if part in newest), own),
        newest.get(PROJECTOR),
        [(file.step, os.path.join(FOLDER, file.path.name)) for file in loras],
    )


def _places() -> tuple[Path, Path]:
    """Return the folders for LoRAs and for projectors."""
    loras, projectors = (Path(folder_paths.get_folder_paths(kind)[0]) for kind in ("loras", "model_patches"))
    return loras.absolute() / FOLDER, projectors.absolute() / FOLDER


def _place(file: Exported) -> None:
    target = _places()[file.part == PROJECTOR] / file.path.name
    try:
        if target.exists() and (target.samefile(file.path) or _same(target, file.path)):
            return
    except OSError as error:
        raise unwritten(target, error) from error
    atomic_write(target, lambda temporary: _copy(file.path, temporary))


def _copy(source: Path, temporary: str) -> None:
    with contextlib.suppress(OSError):  # another drive, or one that has no links
        Path(temporary).unlink(missing_ok=True)
        os.link(source, temporary)
        return
    shutil.copyfile(source, temporary)


def _same(one: Path, other: Path) -> bool:
    """Whether two files are of one size and time, as a copy and what it was made of are."""
    a, b = one.stat(), other.stat()
    return a.st_size == b.st_size and a.st_mtime_ns >= b.st_mtime_ns


def _is_of(path: Path, run: Path) -> bool:
    """Whether a run has written a file."""
    from ...uso_model.checkpoints.files import read_metadata  # not above: it is slow to import

    try:
        told = read_metadata(path).get(_RUN)
        known = json.loads((run / _IDENTITY).read_text(encoding="utf-8"))
    except (UserError, OSError, ValueError):
        return False
    return isinstance(known, dict) and told is not None and known.get("id") == told
