"""Checkpoint folders: whole or absent, checked by hash, and enough to go on bit by bit.

A folder `checkpoint-0000100` holds `trained.safetensors`, `ema.safetensors` where averages are kept, `optimizer.pt`,
and `COMPLETE` with the hash of each. It is written under a hidden name and renamed when it is on the disk. Older ones
lose `optimizer.pt`: their weights can be exported, but no run goes on from them.
"""

from __future__ import annotations

import json
import logging
import pickle
import re
import secrets
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ...uso_model.checkpoints import read_safetensors, write_safetensors
from ...uso_model.checkpoints.files import atomic_write, fsync, retried, sha256_of, unwritten
from ...uso_model.errors import UserError
from ...uso_model.untrusted import field, parse_json, quoted, read_text, regular_file
from .removal import remove, sweep

__all__ = [
    "EMA_FILE",
    "OPTIMIZER",
    "TRAINED",
    "Checkpoint",
    "checkpoints",
    "latest",
    "require_room",
    "save",
    "tell",
    "to_go_on_from",
    "told_of",
]

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

    @property
    def is_whole(self) -> bool:
        """Whether a run can go on from it: older ones keep their weights alone."""
        return OPTIMIZER in told_of(self.folder)["sha256"]

    @property
    def is_asked(self) -> bool:
        """Whether a person asked for it."""
        return told_of(self.folder).get("asked") is True

    def digest(self, averaged: bool) -> str:
        """Return the SHA-256 of its averaged weights, where it has and one wants them, or else of the live ones."""
        hashes = told_of(self.folder)["sha256"]
        return hashes[EMA_FILE] if averaged and EMA_FILE in hashes else hashes[TRAINED]

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
    asked: bool = False,
) -> Checkpoint:
    """Write a checkpoint: a crash at any moment leaves it whole or absent, and the older ones untouched.

    Args:
        run_dir: folder of the run.
        step: optimiser steps finished.
        trained: live weights.
        ema: averaged weights, None where the run keeps none.
        optimizer: its state.
        asked: a person asked for it, by a stop or a file named SAVE; `prune` leaves it alone.

    Raises:
        OSError: it cannot be written, in one sentence with its folder and what to do.
    """
    final = _folder(run_dir, step)
    temporary = run_dir / f".{final.name}-{secrets.token_hex(4)}"
    require_room(run_dir, _bytes(trained) + _bytes(ema or {}) + _bytes(_tensors(optimizer)))
    sweep(run_dir)
    try:
        temporary.mkdir()
        write_safetensors(temporary / TRAINED, trained)
        if ema is not None:
            write_safetensors(temporary / EMA_FILE, ema)
        torch.save(optimizer, temporary / OPTIMIZER)
        hashes = {path.name: sha256_of(path) for path in sorted(temporary.iterdir())}
        tell(temporary, {"step": step, "asked": asked, "sha256": hashes})
        for path in (temporary / OPTIMIZER, temporary):
            fsync(path)
        if final.exists():  # of a run that is made again from an earlier step
            remove(final)
        retried(lambda: temporary.rename(final))
        fsync(run_dir)
    except RuntimeError as error:  # PyTorch's own of a full disk
        raise OSError(f"{temporary / OPTIMIZER} cannot be written ({quoted(error)}); make room on the disk") from error
    except OSError as error:
        raise error if error.errno is None else unwritten(final, error) from error
    return Checkpoint(final, step)


def checkpoints(run_dir: Path) -> list[Checkpoint]:
    """Return the finished checkpoints, oldest first; hashes are not checked."""
    return [found for found in _named(run_dir) if (found.folder / COMPLETE).is_file()]


def latest(run_dir: Path, step: int | None = None) -> Checkpoint | None:
    """Return the newest checkpoint whose weights have the hashes that it lists, or the one of a step.

    It is good for an export; to go on takes the optimizer's state as well, see `to_go_on_from`. A damaged or unfinished
    one is reported and skipped, never removed.
    """
    for found in reversed(_named(run_dir)):
        if step is not None and found.step != step:
            continue
        problem = _problem(found, (TRAINED, EMA_FILE))
        if problem is None:
            return found
        logger.warning("%s is skipped: %s", found.folder.name, problem)
    return None


def to_go_on_from(run_dir: Path) -> Checkpoint | None:
    """Return the newest checkpoint that a run can go on from, None for a run that has saved nothing.

    Raises:
        UserError: there are checkpoints, and none of them is whole. To begin anew would write over what they hold.
    """
    problems = []
    for found in reversed(_named(run_dir)):
        problem = _problem(found, (TRAINED, EMA_FILE, OPTIMIZER)) or (
            None if found.is_whole else f"{OPTIMIZER} is missing"
        )
        if problem is None:
            return found
        problems.append(f"{found.folder.name}: {problem}")
        logger.warning("%s is skipped: %s", found.folder.name, problem)
    if problems:
        raise UserError(
            f"{run_dir} has checkpoints, but none that the run can go on from ({'; '.join(problems[:3])}); put their "
            "files back from a copy, or begin anew under another name or loop.run_dir"
        )
    return None


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


def _named(run_dir: Path) -> list[Checkpoint]:
    """Return the folders with the names of checkpoints, oldest first; others, such as copies, are not ours."""
    found = []
    for folder in run_dir.glob("checkpoint-*"):
        match = _NAME.fullmatch(folder.name)
        if match and folder == _folder(run_dir, int(match[1])) and folder.is_dir() and not folder.is_symlink():
            found.append(Checkpoint(folder, int(match[1])))
    return sorted(found, key=lambda one: one.step)


def _folder(run_dir: Path, step: int) -> Path:
    return run_dir / f"checkpoint-{step:07d}"


def tell(folder: Path, told: Mapping[str, Any]) -> None:
    """Write what `COMPLETE` is to say: `step`, `asked`, and `sha256` of each file."""
    atomic_write(folder / COMPLETE, lambda path: Path(path).write_text(json.dumps(told, indent=1), encoding="utf-8"))


def told_of(folder: Path) -> dict[str, Any]:
    """Return what `COMPLETE` says.

    Raises:
        UserError: it is damaged.
    """
    told = parse_json(read_text(folder / COMPLETE, _CURE), COMPLETE)
    field(told, "step", int, COMPLETE)
    field(told, "sha256", dict, COMPLETE)
    return told


def _problem(found: Checkpoint, names: Sequence[str]) -> str | None:
    """Say what is wrong with those of a checkpoint's files that are named; None: nothing."""
    path = found.folder / COMPLETE
    if not path.is_file():
        return f"it has no {COMPLETE}, so writing it was interrupted"
    try:
        told = told_of(found.folder)
    except UserError as error:
        return f"its {COMPLETE} is damaged: {error}"
    step, hashes = told["step"], told["sha256"]
    if step != found.step:
        return f"its {COMPLETE} is damaged: it is that of step {step}"
    if not {TRAINED} <= hashes.keys() <= {TRAINED, EMA_FILE, OPTIMIZER}:
        return f"its {COMPLETE} is damaged: it lists {quoted(', '.join(sorted(hashes)) or 'no files')}"
    if not all(isinstance(digest, str) and _DIGEST.fullmatch(digest) for digest in hashes.values()):
        return f"its {COMPLETE} is damaged: it lists something else than hashes"
    for name in names:
        path = found.folder / name
        if name in hashes and not path.is_file():
            return f"{name} is missing"
        if name in hashes and sha256_of(path) != hashes[name]:
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
