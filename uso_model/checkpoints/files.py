"""Safetensors on disk: clear refusals when reading, all-or-nothing when writing.

The format is huggingface/safetensors, README.md. Nothing here ever unpickles.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ..errors import UserError
from ..untrusted import quoted, regular_file
from ..writing import atomic_write, fsync, remove_leftovers, retried, sha256_of, unwritten
from .refusals import AGAIN, refusal
from .strict import CheckpointError

__all__ = [
    "Header",
    "atomic_write",
    "fsync",
    "read_header",
    "read_metadata",
    "read_safetensors",
    "read_shapes",
    "remove_leftovers",
    "retried",
    "sha256_of",
    "unwritten",
    "write_safetensors",
]


class Header(NamedTuple):
    """What a safetensors file says about itself, without its data."""

    shapes: dict[str, tuple[int, ...]]
    """By name."""
    dtypes: dict[str, str]
    """By name, as the format writes them: `F32`, `BF16`, ..."""
    metadata: dict[str, str]
    """Empty where there is none."""


def read_header(path: str | os.PathLike[str]) -> Header:
    """Read and check the header without touching the data.

    The safetensors library decides: it compares every shape and type with the offsets, and those with the file's size.
    Only what it refuses is looked at again, to say what it is instead.

    Raises:
        CheckpointError: when the file is absent, empty, truncated, a pickle or not safetensors at all, or names a side
            longer than the file has bits.
    """
    path = Path(path)
    size = regular_file(path, "give the path of a .safetensors file.", CheckpointError).st_size
    try:
        with safe_open(path, framework="pt") as file:
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
            shapes = {name: tuple(part.get_shape()) for name, part in slices.items()}
            dtypes = {name: part.get_dtype() for name, part in slices.items()}
            metadata = dict(file.metadata() or {})
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(refusal(path, " ".join(str(error).split()))) from error
    for name, shape in shapes.items():
        # A tensor of no elements takes no bytes, whatever its other sides, and sizes of networks are read off sides.
        if max(shape, default=0) > 8 * size:
            raise CheckpointError(f"{quoted(path.name)} has {quoted(name)} of shape {shape}, too large for it; {AGAIN}")
    return Header(shapes, dtypes, metadata)


def read_shapes(path: str | os.PathLike[str]) -> dict[str, tuple[int, ...]]:
    """Read name -> shape from the header alone: enough for `kind_of`, and quick on a 24 GB file."""
    return read_header(path).shapes


def read_metadata(path: str | os.PathLike[str]) -> dict[str, str]:
    """Read the string metadata of a safetensors file; empty when it has none."""
    return read_header(path).metadata


def read_safetensors(path: str | os.PathLike[str], device: str | torch.device = "cpu") -> dict[str, Tensor]:
    """Read every tensor of a safetensors file, memory-mapped on the CPU.

    Raises:
        CheckpointError: see `read_header`, or a type that PyTorch does not have.
    """
    read_header(path)
    try:
        return safetensors.torch.load_file(path, device=str(device))
    except (SafetensorError, KeyError, OSError, ValueError, AttributeError) as error:
        reason = quoted(error)
        raise CheckpointError(f"{Path(path).name} cannot be read as safetensors ({reason}); {AGAIN}") from error


def write_safetensors(
    path: str | os.PathLike[str],
    tensors: Mapping[str, Tensor],
    metadata: Mapping[str, str] | None = None,
    *,
    durable: bool = True,
) -> None:
    """Write tensors and string metadata so that a crash leaves the old file or the new one, never a half.

    Tensors that share memory are written as separate copies. `durable` False skips the fsync: the promise then
    holds for a crash of the program but not of the machine.

    Raises:
        UserError: when there is nothing to write or the metadata is not all strings.
        OSError: see `atomic_write`.
    """
    if not tensors:
        raise UserError(f"got no tensors to write to {Path(path).name}, expected at least one.")
    for key, value in (metadata or {}).items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise UserError(f"safetensors metadata holds strings only, got {key!r}: {value!r}; encode it as JSON.")
    ready = _separate({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()})
    info = dict(metadata or {}) or None
    atomic_write(path, lambda temporary: safetensors.torch.save_file(ready, temporary, info), durable=durable)


def _separate(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Copy every tensor whose storage an earlier one already uses; the writer refuses shared storage."""
    seen: set[int] = set()
    separate = {}
    for name, tensor in tensors.items():
        storage = tensor.untyped_storage().data_ptr()
        separate[name] = tensor.clone() if storage in seen else tensor
        seen.add(storage)
    return separate
