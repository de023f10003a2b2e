"""Safetensors on disk: clear refusals when reading, all-or-nothing when writing.

The format is huggingface/safetensors, README.md. Nothing here ever unpickles.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import secrets
import stat
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple, TypeVar

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ..errors import UserError
from ..untrusted import named, quoted, regular_file
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

_LEFTOVER = "*.part"
_PAUSES = (0.1, 0.2, 0.4, 0.8, 1.6)
"""Seconds between tries; in all about as long as a virus scanner holds a file."""

Returned = TypeVar("Returned")


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


def atomic_write(path: str | os.PathLike[str], write: Callable[[str], object], *, durable: bool = True) -> None:
    """Let `write(temporary_path)` make the file, fsync it if `durable`, and rename it over `path`.

    The temporary file lies in the same folder, because a rename is atomic only within one file system, and is
    removed when `write` fails.

    Raises:
        OSError: the file cannot be written, in one sentence with its path and what to do.
    """
    path = Path(path)
    # Not made of the file's own name, which may be as long as a name can be.
    temporary = path.parent / f".{secrets.token_hex(6)}.part"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # The mode of any new file is told by one: to ask for the umask would be to change it, for all threads.
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        mode = stat.S_IMODE(temporary.stat().st_mode)
        try:
            write(str(temporary))
            os.chmod(temporary, mode)  # safetensors puts a private file in its place
            if durable:
                fsync(temporary)
            retried(lambda: os.replace(temporary, path))
        finally:
            temporary.unlink(missing_ok=True)
        if durable:
            fsync(path.parent)
    except (OSError, SafetensorError) as error:
        raise unwritten(path, error) from error


def retried(call: Callable[[], Returned]) -> Returned:
    """Return what `call` returns, tried again with growing pauses as long as the system denies it.

    Windows denies renaming and removing a file that another program has mapped or is reading: ComfyUI with a LoRA, a
    virus scanner, an indexer. Most let go of it soon.

    Raises:
        PermissionError: it was denied to the end.
    """
    for pause in _PAUSES:
        try:
            return call()
        except PermissionError:
            time.sleep(pause)
    return call()


def unwritten(path: str | os.PathLike[str], error: BaseException) -> OSError:
    """Return a failed write as one sentence with the file and what to do; a denial stays a PermissionError."""
    kind = PermissionError if isinstance(error, PermissionError) else OSError
    return kind(f"{named(Path(path))} cannot be written ({quoted(error)}); {_cure(error)}")


_CURES = {
    errno.ENOSPC: "make room on the disk",
    112: "make room on the disk",  # Windows' own number, as safetensors tells it
    errno.EDQUOT: "make room in your quota of the disk",
    errno.EROFS: "choose a folder that can be written to",
    errno.EACCES: "close the program that has it open, or choose a folder that you may write to",
    errno.EPERM: "close the program that has it open, or choose a folder that you may write to",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.EISDIR: "move the folder of that name away",
}


def _cure(error: BaseException) -> str:
    """Say what to do about a failed write; safetensors tells the number of the error in its text alone."""
    told = re.search(r"os error (\d+)", str(error))
    number = int(told[1]) if told else getattr(error, "errno", None)
    return _CURES.get(number or 0, "check the disk and the folder's permissions")


def remove_leftovers(folder: str | os.PathLike[str], pattern: str = "", age: float = 3600) -> int:
    """Remove the temporary files of `atomic_write` that killed processes have left, and return how many there were.

    Args:
        folder: where to look.
        pattern: of folders within it to look in, such as `*/`.
        age: seconds; younger ones may be in the making.
    """
    removed = 0
    for path in Path(folder).glob(f"{pattern}.{_LEFTOVER}"):
        try:
            if time.time() - path.stat().st_mtime > age:
                path.unlink()
                removed += 1
        except OSError:  # another process was quicker, or holds it open
            continue
    return removed


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
