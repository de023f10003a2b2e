"""The pictures of a run, under the hash of their bytes: written whole or not at all, by any number of writers."""

from __future__ import annotations

import hashlib
import os
import re
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from ...uso_model.errors import UserError
from ...uso_model.untrusted import named
from ...uso_model.writing import atomic_write, fsync, retried
from ..data.pictures import open_picture

__all__ = ["FOLDER", "Pictures", "Stored"]

FOLDER = "pictures"
_NAME = re.compile(r"[0-9a-f]{64}")


class Stored(NamedTuple):
    """A picture of the store."""

    sha256: str
    """Of its bytes."""
    size: int
    """In bytes."""


class Pictures:
    """The store of a run: `pictures/ab/<sha256>.png`."""

    def __init__(self, run: Path):
        """Look at the pictures of a run; sizes are read of a whole folder at once and remembered."""
        self.folder = run / FOLDER
        self._sizes: dict[str, dict[str, int]] = {}
        self._proven: set[str] = set()

    def path(self, sha256: str) -> Path:
        """Return the file of a hash.

        Raises:
            UserError: it is none, as a stranger's journal may have it.
        """
        if not _NAME.fullmatch(sha256):
            raise UserError(
                f"{named(self.folder)} has no picture {sha256[:80]!r}; the name is the SHA-256 of its bytes"
            )
        return self.folder / sha256[:2] / f"{sha256}.png"

    def add(self, picture: Image.Image) -> Stored:
        """Keep a picture, in RGB, and return its name; one that is there already is not written again.

        Raises:
            OSError: it cannot be written.
        """
        data = BytesIO()
        picture.convert("RGB").save(data, format="PNG", compress_level=1)
        stored = Stored(hashlib.sha256(data.getbuffer()).hexdigest(), data.getbuffer().nbytes)
        if not self.has(stored):
            path = self.path(stored.sha256)
            fresh = not path.parent.is_dir()
            atomic_write(path, lambda temporary: Path(temporary).write_bytes(data.getbuffer()))
            if fresh:  # a loss of power may not take the name of the folder
                fsync(self.folder)
            self._sizes.setdefault(stored.sha256[:2], {})[stored.sha256] = stored.size
        return stored

    def has(self, stored: Stored) -> bool:
        """Whether a picture is there with its name and size.

        Raises:
            OSError: the drive does not say.
        """
        first = stored.sha256[:2]
        if first not in self._sizes:
            self._sizes[first] = self._listed(first)
        if self._sizes[first].get(stored.sha256) == stored.size:
            return True
        try:  # another process may have written it since
            size = retried(lambda: self.path(stored.sha256).stat().st_size)
        except FileNotFoundError:
            return False
        self._sizes[first][stored.sha256] = size
        return size == stored.size

    def proves(self, stored: Stored) -> bool:
        """Whether the bytes of a picture are those that its name says; read at every call.

        Raises:
            OSError: it is there and cannot be read, which says nothing of its bytes.
        """
        try:
            data = retried(self.path(stored.sha256).read_bytes)
        except FileNotFoundError:
            return False
        return hashlib.sha256(data).hexdigest() == stored.sha256

    def open(self, stored: Stored) -> Image.Image:
        """Return a picture, whose hash is checked at its first use.

        Raises:
            UserError: it is absent or damaged.
            OSError: it cannot be read.
        """
        path = self.path(stored.sha256)
        if stored.sha256 not in self._proven:
            if not self.proves(stored):
                raise UserError(
                    f"{named(path)} is absent or damaged; `uso curate verify` takes it out to be made again"
                )
            self._proven.add(stored.sha256)
        return open_picture(path)

    def _listed(self, first: str) -> dict[str, int]:
        try:
            with os.scandir(self.folder / first) as found:
                return {one.name[:-4]: one.stat().st_size for one in found if one.name.endswith(".png")}
        except FileNotFoundError:
            return {}
