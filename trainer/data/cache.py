"""Encoded inputs on disk, addressed by content: what was encoded, how, and by which encoder."""

from __future__ import annotations

import hashlib
import json
import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from ...uso_model.checkpoints import CheckpointError, read_safetensors, write_safetensors
from ...uso_model.checkpoints.files import Header, read_header, remove_leftovers
from ...uso_model.errors import UserError
from .digests import Digests

__all__ = ["Cache"]

logger = logging.getLogger(__name__)

FORMAT = "2"
"""Part of every key; raise it when the arithmetic of a transform or what an entry says about itself changes."""

LAYOUT, SHA256 = "layout", "sha256"
"""Metadata: names, types and shapes; and hash of name, layout and bytes."""

DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
"""Types of encodings, by the names in headers."""


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
        # Held while an entry is made, too: the reading thread and the monitors share encoders and room.
        self._lock = threading.RLock()
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

    def get(self, what: str | Path, recipe: str, encode: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
        """Return the encoding of `what` by `recipe` (transform and encoder), made with `encode` on the first time.

        The tensors may be held for the next caller and must not be changed.

        Raises:
            UserError: the encoder gave a value that is not finite.
        """
        path = self.entry(what, recipe)
        with self._lock:
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
        if path.exists():
            try:
                return _whole(path)
            except CheckpointError as error:
                logger.warning("%s is damaged and made again: %s", path.name, error)
        made = {name: tensor.detach().cpu().contiguous() for name, tensor in encode().items()}
        for name, tensor in made.items():
            if not torch.isfinite(tensor).all():
                raise UserError(
                    f"the encoding of {what!s} ({recipe}) has a {name} that is not finite; check the encoder's file "
                    "and precision"
                )
        # Thousands of small files: an fsync each would cost more than the encoding, and a lost entry is made again.
        layout = _layout(
            {name: tuple(t.shape) for name, t in made.items()}, {name: t.dtype for name, t in made.items()}
        )
        info = {"recipe": recipe, LAYOUT: layout, SHA256: _digest(path.stem, layout, made)}
        write_safetensors(path, made, info, durable=False)
        return load_file(path)

    def shapes(
        self, what: str | Path, recipe: str, encode: Callable[[], dict[str, Tensor]]
    ) -> dict[str, tuple[int, ...]]:
        """Return the shapes of an encoding from its header alone; it is made where it is absent or damaged."""
        try:
            return _checked_header(self.entry(what, recipe)).shapes
        except CheckpointError:
            return {name: tuple(tensor.shape) for name, tensor in self.get(what, recipe, encode).items()}

    def prune(self, kept: Iterable[Path]) -> int:
        """Remove every encoding that is not in `kept`, as `entry` names them, and return how many were removed.

        What processes that were killed have left half written goes too, an hour after.
        """
        keep = set(kept)
        removed = 0
        for path in self.folder.glob("??/*.safetensors"):
            if path not in keep:
                path.unlink()
                removed += 1
        remove_leftovers(self.folder, "??/")
        return removed


def _whole(path: Path) -> dict[str, Tensor]:
    """Return the tensors of an entry whose bytes are those that were written under its name.

    Raises:
        CheckpointError: they are not, or the entry is of an older version.
    """
    header = _checked_header(path)
    tensors = read_safetensors(path)
    if _digest(path.stem, header.metadata[LAYOUT], tensors) != header.metadata.get(SHA256):
        raise CheckpointError("its bytes are not those that were written")
    return tensors


def _checked_header(path: Path) -> Header:
    """Return the header of an entry, whose names, shapes and types are those that were written.

    Raises:
        CheckpointError: they are not.
    """
    header = read_header(path)
    dtypes = {name: DTYPES.get(dtype) for name, dtype in header.dtypes.items()}
    if header.metadata.get(LAYOUT) != _layout(header.shapes, dtypes):
        raise CheckpointError("its names, shapes and types are not those that were written")
    return header


def _layout(shapes: Mapping[str, tuple[int, ...]], dtypes: Mapping[str, torch.dtype | None]) -> str:
    return json.dumps({name: [str(dtypes[name]), *shapes[name]] for name in sorted(shapes)})


def _digest(key: str, layout: str, tensors: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of an entry: its name, so that no entry stands for another, its layout and its bytes."""
    parts = hashlib.sha256(f"{key}\0{layout}\0".encode())
    for name in sorted(tensors):
        parts.update(tensors[name].reshape(-1).view(torch.uint8).numpy().data)
    return parts.hexdigest()
