"""Encoded inputs on disk, addressed by content: what was encoded, how, and by which encoder."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from ..uso_model.checkpoints import write_safetensors

__all__ = ["Cache"]

logger = logging.getLogger(__name__)


class Cache:
    """A folder of small safetensors files, one per encoded input.

    The name of a file is the hash of the input's bytes, the name of the transform and the fingerprint of the encoder,
    so a changed picture, setting or encoder never meets a stale entry.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)

    def get(self, data: bytes, recipe: str, encode: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
        """Return the encoding of `data` by `recipe` (transform and encoder), made with `encode` on the first time."""
        name = hashlib.sha256(recipe.encode() + b"\0" + data).hexdigest()
        path = self.folder / name[:2] / f"{name}.safetensors"
        if path.is_file():
            try:
                return load_file(path)
            except SafetensorError:
                logger.warning("%s is damaged and made again", path.name)
        # Thousands of small files: an fsync each would cost more than the encoding, and a lost entry is made again.
        write_safetensors(path, encode(), {"recipe": recipe}, durable=False)
        return load_file(path)
