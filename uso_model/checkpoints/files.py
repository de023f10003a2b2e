"""Safetensors on disk: clear refusals when reading, all-or-nothing when writing.

The layout (an 8-byte little-endian header length, a JSON header, then the data) is the public safetensors
format: huggingface/safetensors, README.md. Nothing here ever unpickles.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from ..errors import UserError
from .strict import CheckpointError

__all__ = [
    "atomic_write",
    "fsync",
    "read_header",
    "read_metadata",
    "read_safetensors",
    "read_shapes",
    "sha256_of",
    "write_safetensors",
]

_PICKLE_SUFFIXES = {".pt", ".pth", ".ckpt", ".bin", ".pkl", ".pickle"}
_MAX_HEADER = 100_000_000  # the format's own limit
_AGAIN = "download or copy it again"


def read_header(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read and check the JSON header without touching the data.

    Returns:
        name -> `{"dtype", "shape", "data_offsets"}`, plus `__metadata__` when the file has any.

    Raises:
        CheckpointError: when the file is absent, empty, truncated, a pickle or not safetensors at all.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"{path} is not a file; give the path of a .safetensors file.")
    size = path.stat().st_size
    if size == 0:
        raise CheckpointError(f"{path.name} is empty (0 bytes); {_AGAIN}.")
    with path.open("rb") as file:
        head = file.read(64)
        _refuse_other_formats(path, head)
        if len(head) < 8:
            raise CheckpointError(f"{path.name} is truncated: {size} bytes cannot hold a header; {_AGAIN}.")
        (length,) = struct.unpack("<Q", head[:8])
        if length > _MAX_HEADER or head[8:9] not in (b"{", b" ", b""):
            raise CheckpointError(f"{path.name} is not a safetensors file; use a .safetensors version of the model.")
        if 8 + length > size:
            raise CheckpointError(
                f"{path.name} is truncated: its header needs {8 + length} bytes and the file has {size}; {_AGAIN}."
            )
        file.seek(8)
        raw = file.read(length)
    try:
        header = json.loads(raw)
        needed = max((spec["data_offsets"][1] for name, spec in header.items() if name != "__metadata__"), default=0)
    except (ValueError, TypeError, KeyError, AttributeError, IndexError) as error:
        raise CheckpointError(f"{path.name} has a damaged safetensors header; {_AGAIN}.") from error
    if 8 + length + needed > size:
        raise CheckpointError(
            f"{path.name} is truncated: it should have {8 + length + needed} bytes and has {size}; {_AGAIN}."
        )
    return header


def _refuse_other_formats(path: Path, head: bytes) -> None:
    name = path.name
    if path.suffix.lower() in _PICKLE_SUFFIXES or head[:2] in (
        b"\x80\x02",
        b"\x80\x03",
        b"\x80\x04",
        b"\x80\x05",
    ):
        raise CheckpointError(
            f"{name} is a pickle file, which can run any code when it is opened; use a .safetensors version."
        )
    if head[:4] == b"PK\x03\x04":
        raise CheckpointError(f"{name} is a zip archive or a zipped pickle; use a .safetensors version of the model.")
    if head[:4] == b"GGUF":
        raise CheckpointError(f"{name} is a GGUF file; use a .safetensors version of the model.")
    if head.startswith(b"version https://git-lfs"):
        raise CheckpointError(f"{name} is a Git LFS pointer and not the file itself; run git lfs pull or download it.")
    if head.lstrip()[:1] == b"<":
        raise CheckpointError(f"{name} is a web page saved under a model's name; download the file itself.")


def read_shapes(path: str | os.PathLike[str]) -> dict[str, tuple[int, ...]]:
    """Read name -> shape from the header alone: enough for `kind_of`, and quick on a 24 GB file."""
    header = read_header(path)
    return {name: tuple(spec["shape"]) for name, spec in header.items() if name != "__metadata__"}


def read_metadata(path: str | os.PathLike[str]) -> dict[str, str]:
    """Read the string metadata of a safetensors file; empty when it has none."""
    return dict(read_header(path).get("__metadata__") or {})


def read_safetensors(path: str | os.PathLike[str], device: str | torch.device = "cpu") -> dict[str, Tensor]:
    """Read every tensor of a safetensors file, memory-mapped on the CPU.

    Raises:
        CheckpointError: when the file is absent, empty, truncated, a pickle or not safetensors at all.
    """
    read_header(path)
    try:
        return safetensors.torch.load_file(path, device=str(device))
    except (SafetensorError, KeyError) as error:
        reason = " ".join(str(error).split())
        raise CheckpointError(f"{Path(path).name} cannot be read as safetensors ({reason}); {_AGAIN}.") from error


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


def atomic_write(path: str | os.PathLike[str], write: Any, *, durable: bool = True) -> None:
    """Let `write(temporary_path)` make the file, fsync it if `durable`, and rename it over `path`.

    The temporary file lies in the same folder, because a rename is atomic only within one file system, and is
    removed when `write` fails.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    os.close(handle)
    try:
        write(temporary)
        if durable:
            fsync(temporary)
        # mkstemp makes files private; a model file should be as readable as any other new file.
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        os.replace(temporary, path)
    finally:
        Path(temporary).unlink(missing_ok=True)
    if durable:
        fsync(path.parent)


def sha256_of(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of a file as hex digits, read in pieces."""
    parts = hashlib.sha256()
    with Path(path).open("rb") as file:
        while piece := file.read(1 << 20):
            parts.update(piece)
    return parts.hexdigest()


def fsync(path: str | os.PathLike[str]) -> None:
    """Wait until a file, or the list of names of a folder, is on the disk."""
    if Path(path).is_dir() and os.name != "posix":
        return
    # Windows can only fsync a handle opened for writing; a folder can only be opened for reading.
    flags = os.O_RDONLY if Path(path).is_dir() else os.O_RDWR
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
