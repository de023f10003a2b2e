"""The pictures of a bench in the making: opened with care, known by their hashes, and copied at the end."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

from PIL import Image

from ....uso_model.errors import UserError
from ....uso_model.picture_formats import PICTURE_SUFFIXES
from ....uso_model.untrusted import named
from ....uso_model.writing import atomic_write, sha256_of
from ...data.pictures import open_picture
from ..bench import PICTURES, Picture

__all__ = ["Store"]

_KEY = 24
"""Hex digits of a key: enough that no two pictures share one."""


class Store:
    """Pictures by their keys, which are made of the hashes of their files."""

    def __init__(self) -> None:
        self.pictures: dict[str, Picture] = {}
        self._pixels: dict[str, str] = {}
        self._write: dict[str, Callable[[str], object]] = {}

    def add(self, path: Path, source: str = "", licence: str = "", sha256: str | None = None) -> str:
        """Take a file, and return its key.

        Args:
            path: the file.
            source: whence it comes.
            licence: under which it may be used.
            sha256: that it is said to have.

        Raises:
            UserError: it is absent, damaged, no picture, too large, of one colour, or another than its hash says.
        """
        opened = open_picture(path, otherwise="leave it out")
        if len(opened.getcolors(1) or ()) == 1:
            raise UserError(f"{named(path)} has one colour and shows nothing; use another picture or leave it out")
        found = sha256_of(path)
        if sha256 is not None and sha256.strip().lower() != found:
            raise UserError(
                f"{named(path)} has the SHA-256 {found}, but {sha256.strip()[:64]} is said of it; put the right "
                "picture there, or correct the hash"
            )
        # Only a known ending of a stranger's name is kept: viewers of folders go by it, readers by the bytes.
        suffix = path.suffix.lower()
        suffix = suffix if suffix in PICTURE_SUFFIXES else ""
        return self._keep(found, suffix, opened, source, licence, lambda copy: shutil.copyfile(path, copy))

    def add_picture(self, picture: Image.Image, source: str = "", licence: str = "") -> str:
        """Take a picture that no file holds, and return its key."""
        data = BytesIO()
        picture.convert("RGB").save(data, format="PNG")
        content = data.getvalue()
        found = hashlib.sha256(content).hexdigest()
        return self._keep(found, ".png", picture, source, licence, lambda copy: Path(copy).write_bytes(content))

    def pixels(self, key: str) -> str:
        """Return the hash of what a picture shows, equal for copies in other formats without loss."""
        return self._pixels[key]

    def write(self, folder: Path, kept: set[str]) -> dict[str, Picture]:
        """Copy the pictures of these keys into a bench's folder and return them.

        Raises:
            OSError: one cannot be read or written.
        """
        chosen = {key: picture for key, picture in self.pictures.items() if key in kept}
        for key, picture in chosen.items():
            path = folder / picture.path
            if not path.is_file() or sha256_of(path) != picture.sha256:
                atomic_write(path, self._write[key], durable=False)
        return chosen

    def _keep(
        self,
        sha256: str,
        suffix: str,
        picture: Image.Image,
        source: str,
        licence: str,
        write: Callable[[str], object],
    ) -> str:
        key = sha256[:_KEY]
        if key not in self.pictures:
            path = Path(PICTURES, sha256 + suffix)
            self.pictures[key] = Picture(path=path, sha256=sha256, source=source, licence=licence)
            shown = picture.convert("RGB")
            self._pixels[key] = hashlib.sha256(f"{shown.size}".encode() + shown.tobytes()).hexdigest()
            self._write[key] = write
        return key
