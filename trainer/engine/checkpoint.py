"""Checkpoint folders: whole or absent, checked by hash, and enough to go on bit by bit.

A folder `checkpoint-0000100` holds `trained.safetensors`, `ema.safetensors` where averages are kept, `optimizer.pt`,
and `COMPLETE` with the hash of each. It is written under a hidden name and renamed when it is on the disk.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ...uso_model.checkpoints import read_safetensors, write_safetensors
from ...uso_model.checkpoints.files import fsync, sha256_of

__all__ = ["EMA_FILE", "TRAINED", "Checkpoint", "checkpoints", "latest", "prune", "require_room", "save"]

logger = logging.getLogger(__name__)

TRAINED, EMA_FILE, OPTIMIZER, COMPLETE = "trained.safetensors", "ema.safetensors", "optimizer.pt", "COMPLETE"

ROOM = 1.5
"""Free space that a checkpoint must find, times its size."""


class Checkpoint(NamedTuple):
    """A complete checkpoint on disk."""

    folder: Path
    step: int
    """Optimiser steps finished."""

    def trained(self) -> dict[str, Tensor]:
        """Read the live weights."""
        return read_safetensors(self.folder / TRAINED)

    def ema(self) -> dict[str, Tensor] | None:
        """Read the averaged weights, None where the run keeps none."""
        path = self.folder / EMA_FILE
        return read_safetensors(path) if path.is_file() else None

    def optimizer(self) -> dict[str, Any]:
        """Read the optimizer's state."""
        return torch.load(self.folder / OPTIMIZER, weights_only=True, map_location="cpu")


def save(
    run_dir: Path,
    step: int,
    trained: Mapping[str, Tensor],
    ema: Mapping[str, Tensor] | None,
    optimizer: Mapping[str, Any],
) -> Checkpoint:
    """Write a checkpoint: a crash at any moment leaves it whole or absent, and the older ones untouched.

    Raises:
        OSError: the disk has too little room.
    """
    final, temporary = _folder(run_dir, step), run_dir / f".{_folder(run_dir, step).name}"
    require_room(run_dir, _bytes(trained) + _bytes(ema or {}) + _bytes(_tensors(optimizer)))
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    write_safetensors(temporary / TRAINED, trained)
    if ema is not None:
        write_safetensors(temporary / EMA_FILE, ema)
    torch.save(optimizer, temporary / OPTIMIZER)
    hashes = {path.name: sha256_of(path) for path in sorted(temporary.iterdir())}
    (temporary / COMPLETE).write_text(json.dumps({"step": step, "sha256": hashes}, indent=1), encoding="utf-8")
    for path in (temporary / OPTIMIZER, temporary / COMPLETE, temporary):
        fsync(path)
    if final.exists():  # of a run that is made again from an earlier step
        shutil.rmtree(final)
    temporary.rename(final)
    fsync(run_dir)
    return Checkpoint(final, step)


def checkpoints(run_dir: Path) -> list[Checkpoint]:
    """Return the finished checkpoints, oldest first; hashes are not checked."""
    return [
        Checkpoint(folder, int(folder.name.rpartition("-")[2]))
        for folder in sorted(run_dir.glob("checkpoint-*"))
        if (folder / COMPLETE).is_file()
    ]


def latest(run_dir: Path, step: int | None = None) -> Checkpoint | None:
    """Return the newest checkpoint whose files have the hashes that it lists, or the one of a step.

    A damaged or unfinished one is reported and skipped, never removed.
    """
    for folder in sorted(run_dir.glob("checkpoint-*"), reverse=True):
        if step is not None and folder != _folder(run_dir, step):
            continue
        problem = _problem(folder)
        if problem is None:
            return Checkpoint(folder, int(folder.name.rpartition("-")[2]))
        logger.warning("%s is skipped: %s", folder.name, problem)
    return None


def prune(run_dir: Path, keep: int, keep_every: int | None) -> None:
    """Remove all checkpoints but the newest `keep` and those at multiples of `keep_every` steps."""
    for old in checkpoints(run_dir)[:-keep]:
        if keep_every is None or old.step % keep_every:
            shutil.rmtree(old.folder)


def require_room(folder: Path, size: int) -> None:
    """Refuse to go on when the disk could not take a checkpoint.

    Raises:
        OSError: less than 1.5 times `size` bytes are free.
    """
    free = shutil.disk_usage(folder).free
    if free < ROOM * size:
        raise OSError(
            f"{folder} has {free / 1e9:.1f} GB free, a checkpoint needs {ROOM * size / 1e9:.1f} GB; make room and "
            "start again: the run goes on from its last checkpoint"
        )


def _folder(run_dir: Path, step: int) -> Path:
    return run_dir / f"checkpoint-{step:07d}"


def _problem(folder: Path) -> str | None:
    if not (folder / COMPLETE).is_file():
        return f"it has no {COMPLETE}, so writing it was interrupted"
    try:
        hashes = json.loads((folder / COMPLETE).read_text(encoding="utf-8"))["sha256"]
    except (ValueError, KeyError):
        return f"its {COMPLETE} is damaged"
    for name, expected in hashes.items():
        path = folder / name
        if not path.is_file():
            return f"{name} is missing"
        if sha256_of(path) != expected:
            return f"{name} is damaged"
    return None


def _bytes(tensors: Mapping[str, Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())


def _tensors(state: Any, name: str = "") -> dict[str, Tensor]:
    if isinstance(state, Tensor):
        return {name: state}
    parts = state.items() if isinstance(state, Mapping) else enumerate(state) if isinstance(state, list) else ()
    return {key: value for part, inner in parts for key, value in _tensors(inner, f"{name}.{part}").items()}
