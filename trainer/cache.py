"""Encoded inputs on disk, addressed by content: what was encoded, how, and by which encoder."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor

from ..uso_model.checkpoints import write_safetensors

__all__ = ["Cache"]


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
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            write_safetensors(path, encode(), {"recipe": recipe})
        return load_file(path)
