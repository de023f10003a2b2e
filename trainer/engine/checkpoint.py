"""Checkpoint folders: whole or absent, checked by hash, and enough to go on bit by bit.

A folder `checkpoint-0000100` holds `trained.safetensors`, `ema.safetensors` where averages are kept, `optimizer.pt`,
and `COMPLETE` with the hash of each. It is written under a hidden name and renamed when it is on the disk.
"""

from __future__ import annotations

import json
import logging
import pickle
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ...uso_model.checkpoints import read_safetensors, write_safetensors
from ...uso_model.checkpoints.files import fsync, sha256_of
from ...uso_model.errors import UserError
from ...uso_model.untrusted import field, parse_json, quoted, read_text, regular_file

__all__ = ["EMA_FILE", "TRAINED", "Checkpoint", "checkpoints", "latest", "prune", "require_room", "save"]

logger = logging.getLogger(__name__)

TRAINED, EMA_FILE, OPTIMIZER, COMPLETE = "trained.safetensors", "ema.safetensors", "optimizer.pt", "COMPLETE"

_NAME = re.compile("checkpoint-([0-9]{7,18})")
_DIGEST = re.compile("[0-9a-f]{64}")
_CURE = "go on from an older checkpoint: move this one away"

# What PyTorch raises on damaged files.
_UNREADABLE = (
    OSError,
    EOFError,
    RuntimeError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    MemoryError,
    pickle.UnpicklingError,
)

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
        """Read the optimizer's state.

        Raises:
            UserError: the file holds something else. No code in it is run.
        """
        path = self.folder / OPTIMIZER
        regular_file(path, _CURE)
        try:
            found = torch.load(path, weights_only=True, map_location="cpu")
        except _UNREADABLE as error:
            # Only the type's name: PyTorch's own text advises to read the file without this protection.
            raise UserError(
                f"{path} cannot be read as an optimizer's state ({type(error).__name__}); {_CURE}"
            ) from error
        if not isinstance(found, dict) or not {"state", "param_groups"} <= found.keys():
            raise UserError(f"{path} holds no optimizer's state; {_CURE}")
        return found


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
    try:
        torch.save(optimizer, temporary / OPTIMIZER)
    except RuntimeError as error:  # PyTorch's own of a full disk
        raise OSError(f"{temporary / OPTIMIZER} cannot be written ({quoted(error)}); make room on the disk") from error
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
    return [found for found in _named(run_dir) if (found.folder / COMPLETE).is_file()]


def latest(run_dir: Path, step: int | None = None) -> Checkpoint | None:
    """Return the newest checkpoint whose files have the hashes that it lists, or the one of a step.

    A damaged or unfinished one is reported and skipped, never removed.
    """
    for found in reversed(_named(run_dir)):
        if step is not None and found.step != step:
            continue
        problem = _problem(found)
        if problem is None:
            return found
        logger.warning("%s is skipped: %s", found.folder.name, problem)
    return None


def _named(run_dir: Path) -> list[Checkpoint]:
    """Return the folders with the names of checkpoints, oldest first; others, such as copies, are not ours."""
    found = []
    for folder in run_dir.glob("checkpoint-*"):
        match = _NAME.fullmatch(folder.name)
        if match and folder == _folder(run_dir, int(match[1])) and folder.is_dir() and not folder.is_symlink():
            found.append(Checkpoint(folder, int(match[1])))
    return sorted(found, key=lambda one: one.step)


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
            f"{folder} has {free / 1e6:,.1f} MB free, a checkpoint needs {ROOM * size / 1e6:,.1f} MB; make room and "
            "start again: the run goes on from its last checkpoint"
        )


def _folder(run_dir: Path, step: int) -> Path:
    return run_dir / f"checkpoint-{step:07d}"


def _problem(found: Checkpoint) -> str | None:
    path = found.folder / COMPLETE
    if not path.is_file():
        return f"it has no {COMPLETE}, so writing it was interrupted"
    try:
        told = parse_json(read_text(path, _CURE), COMPLETE)
        step, hashes = field(told, "step", int, COMPLETE), field(told, "sha256", dict, COMPLETE)
    except UserError as error:
        return f"its {COMPLETE} is damaged: {error}"
    if step != found.step:
        return f"its {COMPLETE} is damaged: it is that of step {step}"
    if not {TRAINED, OPTIMIZER} <= hashes.keys() <= {TRAINED, EMA_FILE, OPTIMIZER}:
        return f"its {COMPLETE} is damaged: it lists {quoted(', '.join(sorted(hashes)) or 'no files')}"
    if not all(isinstance(digest, str) and _DIGEST.fullmatch(digest) for digest in hashes.values()):
        return f"its {COMPLETE} is damaged: it lists something else than hashes"
    for name, expected in hashes.items():
        path = found.folder / name
        if not path.is_file():
            return f"{name} is missing"
        if sha256_of(path) != expected:
            return f"{name} is damaged"
    if EMA_FILE not in hashes and (found.folder / EMA_FILE).exists():
        return f"its {COMPLETE} is damaged: it does not list {EMA_FILE}"
    return None


def _bytes(tensors: Mapping[str, Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())


def _tensors(state: Any, name: str = "") -> dict[str, Tensor]:
    if isinstance(state, Tensor):
        return {name: state}
    parts = state.items() if isinstance(state, Mapping) else enumerate(state) if isinstance(state, list) else ()
    return {key: value for part, inner in parts for key, value in _tensors(inner, f"{name}.{part}").items()}
