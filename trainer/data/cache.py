"""Encoded inputs on disk, addressed by content: what was encoded, how, and by which encoder."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from ...uso_model.checkpoints import write_safetensors
from ...uso_model.checkpoints.files import read_shapes
from ...uso_model.checkpoints.strict import CheckpointError
from ...uso_model.errors import UserError
from .digests import Digests

__all__ = ["Cache"]

logger = logging.getLogger(__name__)

FORMAT = "1"
"""Part of every key; raise it when the arithmetic of a transform changes."""


class Cache:
    """A folder of small safetensors files, one per encoded input.

    The name of a file is the hash of the input's own hash, the transform's name and the fingerprint of the encoder, so
    a changed picture, setting or encoder never meets a stale entry.
    """

    def __init__(self, folder: str | Path, memory: int = 0):
        """Use `folder`, which need not exist, and keep the first entries that are read in RAM, up to `memory` bytes.

        Rows come in random order, each as often as the others, so the first are as good as the last ones read.
        """
        self.folder = Path(folder)
        self._held: dict[Path, dict[str, Tensor]] = {}
        self._room = memory
        self._digests = Digests(self.folder / "digests.jsonl")

    def entry(self, what: str | Path, recipe: str) -> Path:
        """Return the file of the encoding of `what`, a prompt or a picture's path, by `recipe`.

        Raises:
            UserError: the picture is absent or cannot be read.
        """
        content = self.digest(what) if isinstance(what, Path) else what
        name = hashlib.sha256(f"{FORMAT}\0{recipe}\0{content}".encode()).hexdigest()
        return self.folder / name[:2] / f"{name}.safetensors"

    def digest(self, picture: Path) -> str:
        """Return the SHA-256 of a picture's bytes.

        Raises:
            UserError: the picture is absent or cannot be read.
        """
        return self._digests.of(picture)

    def has(self, what: str | Path, recipe: str) -> bool:
        """Whether there is an encoding; that it is whole is checked by `get`."""
        return self.entry(what, recipe).is_file()

    def get(self, what: str | Path, recipe: str, encode: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
        """Return the encoding of `what` by `recipe` (transform and encoder), made with `encode` on the first time.

        The tensors may be held for the next caller and must not be changed.

        Raises:
            UserError: the encoder gave a value that is not finite.
        """
        path = self.entry(what, recipe)
        if path not in self._held:
            found = self._read(path, what, recipe, encode)
            size = sum(tensor.nbytes for tensor in found.values())
            if size > self._room:
                return found
            self._room -= size
            # What safetensors gives is a window on the file, of which a process may keep some 65,000 open.
            self._held[path] = {name: tensor.clone() for name, tensor in found.items()}
        return self._held[path]

    def _read(
        self, path: Path, what: str | Path, recipe: str, encode: Callable[[], dict[str, Tensor]]
    ) -> dict[str, Tensor]:
        if path.is_file():
            try:
                found = load_file(path)
                if all(torch.isfinite(tensor).all() for tensor in found.values()):
                    return found
            except SafetensorError:
                pass
            logger.warning("%s is damaged and made again", path.name)
        made = encode()
        for name, tensor in made.items():
            if not torch.isfinite(tensor).all():
                raise UserError(
                    f"the encoding of {what!s} ({recipe}) has a {name} that is not finite; check the encoder's file "
                    "and precision"
                )
        # Thousands of small files: an fsync each would cost more than the encoding, and a lost entry is made again.
        write_safetensors(path, made, {"recipe": recipe}, durable=False)
        return load_file(path)

    def shapes(
        self, what: str | Path, recipe: str, encode: Callable[[], dict[str, Tensor]]
    ) -> dict[str, tuple[int, ...]]:
        """Return the shapes of an encoding from its header alone; it is made where it is absent or damaged."""
        try:
            return read_shapes(self.entry(what, recipe))
        except CheckpointError:
            return {name: tuple(tensor.shape) for name, tensor in self.get(what, recipe, encode).items()}

    def prune(self, kept: Iterable[Path]) -> int:
        """Remove every encoding that is not in `kept`, as `entry` names them, and return how many were removed."""
        keep = set(kept)
        removed = 0
        for path in self.folder.glob("??/*.safetensors"):
            if path not in keep:
                path.unlink()
                removed += 1
        return removed
