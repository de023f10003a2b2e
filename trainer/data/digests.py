"""Hashes of picture files, remembered between runs for as long as a file is unchanged."""

from __future__ import annotations

import json
import logging
import os
import re
import time
from functools import cached_property
from pathlib import Path
from typing import Any

from ...uso_model.checkpoints.files import sha256_of
from ...uso_model.errors import UserError
from ...uso_model.untrusted import json_lines, regular_file
from .absent import Absent

__all__ = ["Digests"]

logger = logging.getLogger(__name__)

_SETTLED_NS = 2_000_000_000
_DIGEST = re.compile("[0-9a-f]{64}")


class Digests:
    """SHA-256 of files, kept in a JSON Lines file with the size and times at which each was read.

    Without it every start of a run would read every picture again. A file counts as changed when its size, its time of
    change or its inode's time of change differs; the last one cannot be set back by a copying program.
    """

    def __init__(self, file: Path):
        """Use `file`, which need not exist; several processes may add to it at the same time."""
        self._file, self._told = file, False
        self._absent = Absent(logger, "what was encoded of it before is used")
        self._seen: dict[str, str] = {}
        """Hashes that this process has computed: also of files that were too fresh to be remembered on the disk."""

    @cached_property
    def _known(self) -> dict[str, tuple[list[int], str]]:
        known: dict[str, tuple[list[int], str]] = {}
        try:
            # The last line of a process that was killed may be cut; whatever is no entry is as good as absent.
            for line in json_lines(self._file):
                if line.problem is None and _is_entry(line.value):
                    path, state, digest = line.value
                    known[path] = state, digest
        except UserError as error:
            if self._file.exists():
                logger.warning("hashes of pictures are computed anew: %s", error)
        return known

    def of(self, path: Path) -> str:
        """Return the hash of a file; of one that is not there now, that of when it was.

        What has been encoded serves for as long as a drive is away.

        Raises:
            UserError: the file is absent and was never read, or cannot be read.
        """
        name = str(path.absolute())
        try:
            stat = regular_file(path, "put the picture back or take its row out of the manifest")
        except UserError:
            before = self._known[name][1] if name in self._known else self._seen.get(name)
            if before is None or path.exists():
                raise
            self._absent.tell(path)
            return before
        try:
            state = [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns]
            known, digest = self._known.get(name, (None, ""))
            if known == state:
                return digest
            digest = self._seen[name] = sha256_of(path)
        except OSError as error:
            raise UserError(f"{path} cannot be read ({error.strerror}); check the file and its permissions") from error
        # A file that changes twice within a tick of its file system's clock shows the same times.
        if time.time_ns() - max(state[1:]) < _SETTLED_NS:
            return digest
        self._known[name] = state, digest
        self._append(json.dumps([name, state, digest]) + "\n")
        return digest

    def _append(self, line: str) -> None:
        """Add a line in one write, so that lines of several processes do not mix.

        A folder that cannot be written to is no error: the hashes are known for as long as this process runs.
        """
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self._file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
            try:
                os.write(descriptor, line.encode())
            finally:
                os.close(descriptor)
        except OSError as error:
            if not self._told:
                logger.warning("hashes of pictures are not kept: %s cannot be written (%s)", self._file, error.strerror)
            self._told = True


def _is_entry(value: Any) -> bool:
    """Whether a line holds path, state and hash."""
    if not (isinstance(value, list) and len(value) == 3):
        return False
    path, state, digest = value
    whole = isinstance(state, list) and len(state) == 3 and all(type(part) is int for part in state)
    return isinstance(path, str) and whole and isinstance(digest, str) and _DIGEST.fullmatch(digest) is not None
