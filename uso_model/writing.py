"""Files of any kind on disk: written whole or not at all, hashed, and failures told in one sentence.

Nothing here needs torch, which takes seconds to import.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import secrets
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from safetensors import SafetensorError

from .untrusted import named, quoted

__all__ = [
    "atomic_write",
    "fsync",
    "is_full",
    "left_behind",
    "remove_leftovers",
    "retried",
    "sha256_of",
    "synced",
    "unwritten",
]

_LEFTOVER = "*.part"
_PAUSES = (0.1, 0.2, 0.4, 0.8, 1.6)
"""Seconds between tries; in all about as long as a virus scanner holds a file."""
Returned = TypeVar("Returned")


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


def left_behind(path: Path, *, patient: bool) -> str | None:
    """Remove a file that nothing needs any more; where that is denied, leave it and return a sentence that says so.

    Args:
        path: of the file.
        patient: wait for whoever holds it as long as `retried` does.
    """
    try:
        if patient:
            retried(lambda: path.unlink(missing_ok=True))
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        return (
            f"{named(path)} is of an older step and cannot be removed ({quoted(error.strerror or error)}): it is tried "
            "again later, or close the program that has it open and remove it by hand."
        )
    return None


def unwritten(path: str | os.PathLike[str], error: BaseException) -> OSError:
    """Return a failed write as one sentence with the file and what to do; a denial stays a PermissionError."""
    kind = PermissionError if isinstance(error, PermissionError) else OSError
    return kind(f"{named(Path(path))} cannot be written ({quoted(error)}); {_cure(error)}")


def is_full(error: BaseException | None) -> bool:
    """Say whether an error, or what it was raised from, is that of a full disk or quota."""
    while error is not None:
        if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
            return True
        error = error.__cause__
    return False


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
        synced(descriptor)
    finally:
        os.close(descriptor)


_NO_FSYNC = frozenset({errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP})


def synced(descriptor: int) -> None:
    """Wait until what was written to an open file is on the disk; some network drives have no way to ask for it.

    Raises:
        OSError: it did not get there.
    """
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_FSYNC:
            raise
