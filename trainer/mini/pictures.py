"""Pictures and captions of the caption manifests, in memory as bytes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from .data import CAPTIONS

__all__ = ["Pictures", "load_pictures"]

GRID = 8
"""Crops start at multiples of it, as the autoencoder's blocks do."""


@dataclass(frozen=True)
class Pictures:
    """Pictures `n 3 h w` uint8 and as many captions."""

    pixels: Tensor
    captions: list[str]

    def pick(self, generator: torch.Generator, count: int) -> tuple[Tensor, list[str]]:
        """Return `count` random pictures in -1..1 and their captions."""
        index = torch.randint(len(self.captions), (count,), generator=generator)
        return self.pixels[index].float() / 127.5 - 1, [self.captions[i] for i in index.tolist()]

    def crops(self, generator: torch.Generator, count: int, side: int) -> Tensor:
        """Return `count` random square crops in -1..1, `count 3 side side`, cut on an 8-pixel grid."""
        height, width = self.pixels.shape[-2:]
        draw = torch.stack(
            [
                torch.randint(n, (count,), generator=generator)
                for n in (len(self.captions), (height - side) // GRID + 1, (width - side) // GRID + 1)
            ],
            1,
        )
        crops = [self.pixels[i, :, y * GRID : y * GRID + side, x * GRID : x * GRID + side] for i, y, x in draw.tolist()]
        return torch.stack(crops).float() / 127.5 - 1


def load_pictures(folders: Sequence[str | Path]) -> Pictures:
    """Read every picture that the caption manifests of the folders list."""
    pixels, captions = [], []
    for folder in map(Path, folders):
        for line in (folder / CAPTIONS).read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            with Image.open(folder / row["target"]) as picture:
                pixels.append(np.asarray(picture.convert("RGB")))
            captions.append(row["prompt"])
    return Pictures(torch.from_numpy(np.stack(pixels)).movedim(-1, 1).contiguous(), captions)
