"""Pictures as vision towers take them: by Pillow as published, and by torch with a gradient down to the pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from ..errors import UserError

__all__ = ["CLIP_DEVIATION", "CLIP_MEAN", "IMAGENET_DEVIATION", "IMAGENET_MEAN", "Preprocessing"]

Channels = tuple[float, float, float]

CLIP_MEAN: Channels = (0.48145466, 0.4578275, 0.40821073)
CLIP_DEVIATION: Channels = (0.26862954, 0.26130258, 0.27577711)
"""Source: openai/CLIP, clip/clip.py (`_transform`)."""

IMAGENET_MEAN: Channels = (0.485, 0.456, 0.406)
IMAGENET_DEVIATION: Channels = (0.229, 0.224, 0.225)
"""Source: facebookresearch/dino, eval_knn.py."""

_LONGEST = 8
"""Of the long side, in short sides: a strip of one pixel by a million would be resized to gigabytes, of which the
middle is kept."""


@dataclass(frozen=True)
class Preprocessing:
    """Short side resized (bicubic, antialiased), the middle square cut out, less the mean, by the deviation.

    Sizes are rounded down, as torchvision and transformers do (torchvision, transforms/functional.py, `resize`).
    """

    resize: int
    """Short side in pixels."""
    crop: int
    """Side of the square, at most `resize`."""
    mean: Channels
    deviation: Channels
    offsets_down: bool = False
    """Round the offset of an odd rest down, as transformers' CLIPImageProcessor does, and not to the even neighbour, as
    torchvision does."""

    def of_picture(self, picture: Image.Image) -> Tensor:
        """Return a picture as `3 s s`, resized by Pillow on 8 bits.

        Raises:
            UserError: a picture without pixels.
        """
        picture = picture.convert("RGB")
        picture = picture.crop(_not_too_long(*picture.size))
        size = self._size(*picture.size)
        left, top = self._offsets(size)
        resized = picture.resize(size, Image.Resampling.BICUBIC)
        pixels = np.array(resized.crop((left, top, left + self.crop, top + self.crop)), dtype=np.float32)
        return self._normalised(torch.from_numpy(pixels).movedim(-1, 0) / 255)

    def of_pixels(self, pixels: Tensor) -> Tensor:
        """Return `b 3 s s` of pictures `b 3 h w` in -1..1, with a gradient.

        Raises:
            UserError: pictures without pixels.
        """
        left, top, right, bottom = _not_too_long(pixels.shape[-1], pixels.shape[-2])
        pixels = pixels[..., top:bottom, left:right]
        width, height = self._size(pixels.shape[-1], pixels.shape[-2])
        resized = F.interpolate(pixels, (height, width), mode="bicubic", antialias=True, align_corners=False)
        left, top = self._offsets((width, height))
        cropped = resized.clamp(-1, 1)[..., top : top + self.crop, left : left + self.crop]
        return self._normalised(cropped / 2 + 0.5)

    def _normalised(self, pixels: Tensor) -> Tensor:
        mean, deviation = (pixels.new_tensor(values)[:, None, None] for values in (self.mean, self.deviation))
        return (pixels - mean) / deviation

    def _size(self, width: int, height: int) -> tuple[int, int]:
        """Return width and height after resizing."""
        long = int(self.resize * max(width, height) / min(width, height))
        return (self.resize, long) if height > width else (long, self.resize)

    def _offsets(self, size: tuple[int, int]) -> tuple[int, int]:
        """Return where the square begins."""
        rest = (size[0] - self.crop, size[1] - self.crop)
        return (rest[0] // 2, rest[1] // 2) if self.offsets_down else (round(rest[0] / 2), round(rest[1] / 2))


def _not_too_long(width: int, height: int) -> tuple[int, int, int, int]:
    """Return left, top, right and bottom of the middle that is at most eight times as long as wide.

    Raises:
        UserError: a picture without pixels.
    """
    if min(width, height) < 1:
        raise UserError(f"got a picture of {width} x {height} pixels, expected at least 1 x 1; leave it out")
    most = _LONGEST * min(width, height)
    left, top = (max(0, side - most) // 2 for side in (width, height))
    return left, top, left + min(width, most), top + min(height, most)
