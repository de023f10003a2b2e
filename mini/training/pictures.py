"""Pictures of the manifests, in memory as bytes: captioned ones and triplets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ...trainer.data.manifest import read_manifest
from ...trainer.data.pictures import open_picture
from ...uso_model.errors import UserError
from ...uso_model.packing import PIXELS_PER_LATENT
from ..world.dataset import CAPTIONS, TRIPLETS, read_rows

__all__ = ["Pictures", "TripletPictures", "load_pictures", "load_triplets"]

GRID = PIXELS_PER_LATENT
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


def load_pictures(folders: Sequence[Path]) -> Pictures:
    """Read every picture that the caption manifests of the folders list."""
    rows = [row for folder in folders for row in read_rows(folder / CAPTIONS)]
    return Pictures(_stacked([row.target for row in rows]), [row.prompt for row in rows])


def load_triplets(folders: Sequence[Path]) -> TripletPictures:
    """Read the training triplets of the folders; those of the validation split are left out.

    Raises:
        UserError: a row lacks a reference.
    """
    rows = [row for folder in folders for row in read_manifest(folder / TRIPLETS)]
    targets, styles, contents = [], [], []
    for row in rows:
        if not row.style or not row.contents:
            raise UserError(f"row {row.id} of {TRIPLETS} lacks a reference; make the folder with `uso mini world`")
        targets.append(row.target)
        styles.append(row.style[0])
        contents.append(row.contents[0])
    return TripletPictures(torch.stack([_stacked(column) for column in (targets, styles, contents)]))


def _stacked(paths: Sequence[Path]) -> Tensor:
    return torch.from_numpy(np.stack([np.asarray(open_picture(path)) for path in paths])).movedim(-1, 1).contiguous()
