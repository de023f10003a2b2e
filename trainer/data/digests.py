"""Hashes of picture files, remembered between runs for as long as a file is unchanged."""

from __future__ import annotations

import hashlib
import json
import os
import time
from functools import cached_property
from pathlib import Path

from ...uso_model.errors import UserError

__all__ = ["Digests"]

_SETTLED_NS = 2_000_000_000


class Digests:
    """SHA-256 of files, kept in a JSON Lines file with the size and times at which each was read.

    Without it every start of a run would read every picture again. A file counts as changed when its size, its time of
    change or its inode's time of change differs; the last one cannot be set back by a copying program.
    """

    def __init__(self, file: Path):
        """Use `file`, which need not exist; several processes may add to it at the same time."""
        self._file = file

    @cached_property
    def _known(self) -> dict[str, tuple[list[int], str]]:
        known = {}
        if self._file.is_file():
            for line in self._file.read_text(encoding="utf-8", errors="replace").split("\n"):
                try:
                    path, state, digest = json.loads(line)
                except ValueError:  # the last line of a process that was killed
                    continue
                known[path] = state, digest
        return known

    def of(self, path: Path) -> str:
        """Return the hash of a file.

        Raises:
            UserError: the file is absent or cannot be read.
        """
        try:
            name, stat = str(path.absolute()), path.stat()
            state = [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns]
            before, digest = self._known.get(name, (None, ""))
            if before == state:
                return digest
            with path.open("rb") as file:
                digest = hashlib.sha256(file.read()).hexdigest()
        except FileNotFoundError as error:
            raise UserError(f"{path} is not there; put the picture back or take its row out of the manifest") from error
        except OSError as error:
            raise UserError(f"{path} cannot be read ({error.strerror}); check the file and its permissions") from error
        # A file that changes twice within a tick of its file system's clock shows the same times.
        if time.time_ns() - max(state[1:]) < _SETTLED_NS:
            return digest
        self._known[name] = state, digest
        self._append(json.dumps([name, state, digest]) + "\n")
        return digest

    def _append(self, line: str) -> None:
        """Add a line in one write, so that lines of several processes do not mix."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        try:
            os.write(descriptor, line.encode())
        finally:
            os.close(descriptor)
