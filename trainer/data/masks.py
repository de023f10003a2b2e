"""Masks of targets: how much each place of a picture counts in the loss."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps
from torch import Tensor

from ...uso_model.errors import UserError
from ...uso_model.images import PICTURE_SUFFIXES
from ...uso_model.packing import PIXELS_PER_LATENT
from ..settings.data import DataConfig
from .absent import Absent
from .pictures import fit_target, open_picture, picture_size

__all__ = ["Masks"]

logger = logging.getLogger(__name__)

_REMEMBERED = 2048
_SAME_SHAPE = 0.02
"""Difference of two aspect ratios up to which they are those of one picture at two sizes."""


class Masks:
    """The masks of some targets. White counts fully, black by `data.mask_outside`, grey between them."""

    def __init__(self, settings: DataConfig, targets: Sequence[Path]):
        """Find the masks.

        Raises:
            UserError: the folder is absent, has no mask of any target, one that may be meant for several, or one of
                another shape than its target.
        """
        self._outside = settings.mask_outside
        self._files = None if settings.masks == "alpha" else _files(Path(settings.masks or ""), targets)
        self._targets = len(set(targets))
        self._absent = Absent(logger, "its target counts whole")
        self._weights = lru_cache(_REMEMBERED)(self._read)

    @property
    def files(self) -> list[Path]:
        """The files of a folder of masks that belong to targets."""
        return [] if self._files is None else sorted(self._files.values())

    def note(self) -> str | None:
        """Say how many targets have no mask, None where all have one."""
        absent = 0 if self._files is None else self._targets - len(self._files)
        return f"{absent} of {self._targets} targets have no mask in data.masks and count whole" if absent else None

    def weight(self, target: Path, width: int, height: int, mirrored: bool) -> Tensor | None:
        """Return the weights of a target's places, None where it has no mask and all count alike.

        Args:
            target: the picture.
            width: of the latent.
            height: of the latent.
            mirrored: as the target is.

        Returns:
            `h w`, each the mean over the pixels of its place; None also where the mask is gone, which is said.

        Raises:
            UserError: the mask cannot be read.
        """
        path = self._file(target)
        if path is not None and not path.is_file():  # no reason to end a run that has gone on for hours
            self._absent.tell(path)
            return None
        found = self._weights(target, width, height)
        return found.flip(1) if mirrored and found is not None else found

    def _file(self, target: Path) -> Path | None:
        return target if self._files is None else self._files.get(target)

    def _read(self, target: Path, width: int, height: int) -> Tensor | None:
        path = self._file(target)
        if path is None:
            return None
        mask = open_picture(path, alpha=True) if self._files is None else open_picture(path).convert("L")
        if self._files is not None:
            mask = _as_large(mask, target)
        fitted = fit_target(mask, width * PIXELS_PER_LATENT, height * PIXELS_PER_LATENT)
        white = torch.from_numpy(np.asarray(fitted).copy()).float() / 255
        inside = F.avg_pool2d(white[None, None], PIXELS_PER_LATENT)[0, 0]
        weights = self._outside + (1 - self._outside) * inside
        if not weights.any():
            logger.warning("the mask %s is black all over: nothing of its target is learnt", path)
        return weights


def _files(folder: Path, targets: Sequence[Path]) -> dict[Path, Path]:
    """Return the mask of each target that has one: the picture of its stem in the folder."""
    if not folder.is_dir():
        raise UserError(f"data.masks {folder} is no folder; name one with a mask for each target, or alpha")
    masks: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.is_file() and path.suffix.lower() in PICTURE_SUFFIXES:
            if path.stem in masks:
                raise UserError(f"{folder} has two masks {path.stem} ({masks[path.stem].name}, {path.name}); keep one")
            masks[path.stem] = path
    owners: dict[str, Path] = {}
    for target in dict.fromkeys(targets):
        other = owners.setdefault(target.stem, target)
        if other != target and target.stem in masks:
            raise UserError(
                f"the mask {masks[target.stem]} may be that of {other} or of {target}; give the pictures "
                "names of their own"
            )
    found = {target: masks[stem] for stem, target in owners.items() if stem in masks}
    if not found:
        raise UserError(f"{folder} has no mask for any of {len(owners)} targets; masks have the names of the targets")
    for target, path in found.items():
        _require_shape(path, target)
    return found


def _require_shape(path: Path, target: Path) -> None:
    if not target.is_file():  # its encoding may be there all the same
        return
    (width, height), (wide, high) = picture_size(path), picture_size(target)
    if abs(width * high / (height * wide) - 1) > _SAME_SHAPE:
        raise UserError(
            f"the mask {path} has {width}x{height} pixels, but {target.name} has {wide}x{high}; make one of the same "
            "shape"
        )


def _as_large(mask: Image.Image, target: Path) -> Image.Image:
    """Return a mask in its target's size, so that both are cropped alike."""
    size = picture_size(target) if target.is_file() else mask.size
    return mask if mask.size == size else ImageOps.fit(mask, size, Image.Resampling.LANCZOS)
