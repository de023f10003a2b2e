"""Pictures of the manifests, in memory as bytes: captioned ones and triplets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ...uso_model.untrusted import json_objects
from ..world.dataset import CAPTIONS, TRIPLETS

__all__ = ["Pictures", "TripletPictures", "load_pictures", "load_triplets"]

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


@dataclass(frozen=True)
class TripletPictures:
    """Targets, style references and contents, `3 n 3 h w` uint8."""

    pixels: Tensor

    def pick(self, generator: torch.Generator, count: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return targets, style references and contents of `count` random triplets in -1..1."""
        index = torch.randint(self.pixels.shape[1], (count,), generator=generator)
        target, style, content = self.pixels[:, index].float() / 127.5 - 1
        return target, style, content


def load_pictures(folders: Sequence[str | Path]) -> Pictures:
    """Read every picture that the caption manifests of the folders list."""
    rows = [(folder, row) for folder in map(Path, folders) for row in json_objects(folder / CAPTIONS)]
    return Pictures(_stacked([folder / row["target"] for folder, row in rows]), [row["prompt"] for _, row in rows])


def load_triplets(folders: Sequence[str | Path]) -> TripletPictures:
    """Read the training triplets of the folders; those of the validation split are left out."""
    rows = [(folder, row) for folder in map(Path, folders) for row in json_objects(folder / TRIPLETS)]
    rows = [(folder, row) for folder, row in rows if row["split"] == "train"]
    columns = [
        [f / r["target"] for f, r in rows],
        [f / r["style"][0] for f, r in rows],
        [f / r["content"] for f, r in rows],
    ]
    return TripletPictures(torch.stack([_stacked(column) for column in columns]))


def _stacked(paths: Sequence[Path]) -> Tensor:
    pixels = []
    for path in paths:
        with Image.open(path, formats=("PNG",)) as picture:
            pixels.append(np.asarray(picture.convert("RGB")))
    return torch.from_numpy(np.stack(pixels)).movedim(-1, 1).contiguous()
