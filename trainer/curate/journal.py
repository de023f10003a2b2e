"""The file of one writer: a line for every finished step, on the disk before anything relies on it."""

from __future__ import annotations

import os
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

from ...uso_model.writing import fsync, retried, synced, unwritten
from .entry import Entry

__all__ = ["FOLDER", "Journal", "journals", "whole_lines"]

FOLDER = "journal"
ENDING = ".jsonl"


def journals(run: Path) -> list[Path]:
    """Return the files of all writers of a run in the order of their names."""
    folder = run / FOLDER
    return [path for path in sorted(folder.glob(f"*{ENDING}")) if path.is_file()] if folder.is_dir() else []


def whole_lines(path: Path, offset: int = 0) -> Iterator[tuple[int, bytes]]:
    """Yield the lines of a journal from one's offset on, each with its own; not a torn last one.

    Raises:
        OSError: it cannot be read.
    """
    with retried(lambda: path.open("rb")) as file:
        file.seek(offset)
        for line in file:
            if not line.endswith(b"\n"):
                break
            yield offset, line
            offset += len(line)


class Journal:
    """One writer's file. May be shared by the threads of a process."""

    def __init__(self, run: Path):
        """Name the file; it is made with its first line."""
        self.path = run / FOLDER / f"{uuid.uuid4().hex}{ENDING}"
        self._lock = threading.Lock()
        self._file: int | None = None

    def add(self, entry: Entry) -> None:
        """Append an entry and wait until it is on the disk; a line that cannot be written whole leaves nothing.

        Raises:
            OSError: it cannot be written.
        """
        line = entry.line()
        with self._lock:
            try:
                if self._file is None:
                    self._file = self._made()
                before = os.fstat(self._file).st_size
                try:
                    while line:  # a disk that is full takes a part first
                        line = line[os.write(self._file, line) :]
                    synced(self._file)
                except OSError:
                    os.ftruncate(self._file, before)
                    raise
            except OSError as error:
                raise unwritten(self.path, error) from error

    def _made(self) -> int:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_CREAT | os.O_APPEND | os.O_WRONLY | getattr(os, "O_BINARY", 0)
        file = retried(lambda: os.open(self.path, flags, 0o666))
        fsync(self.path.parent)  # a loss of power may not take the name of the file
        return file

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            if self._file is not None:
                os.close(self._file)
                self._file = None
