"""Which SigLIP layers USO reads, and how a style picture is brought to SigLIP's size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from .errors import UserError

__all__ = [
    "SIGLIP_SIZE",
    "StyleFeatures",
    "StyleLayers",
    "prepare_style_image",
    "select_style_features",
    "siglip_pixels",
    "siglip_preprocess",
    "style_layers",
]

SIGLIP_SIZE = 384
"""Side of the picture that google/siglip-so400m-patch14-384 reads."""

_OFFICIAL_DEPTH, _OFFICIAL_LAYERS = 27, (26, 17, 8)


class StyleFeatures(NamedTuple):
    """Hidden states of three depths, each `B N C`: semantics (high), middle, brushwork (low)."""

    high: Tensor
    mid: Tensor
    low: Tensor


class StyleLayers(NamedTuple):
    """Number of transformer layers that a level has passed (1 = after the first layer)."""

    high: int
    mid: int
    low: int


def style_layers(num_layers: int) -> StyleLayers:
    """Return the layers that USO reads of a vision tower with `num_layers` layers.

    With SigLIP-so400m's 27 layers these are the outputs of layers 26, 17 and 8, that is
    `hidden_states[-2]`, `[-11]` and `[-20]` (bytedance/USO, uso/flux/model.py). Another depth keeps
    the second-to-last layer and the same fractions of the depth.

    Raises:
        UserError: a tower too shallow to have three different levels.
    """
    high = num_layers - 1
    mid, low = (round(num_layers * layer / _OFFICIAL_DEPTH) for layer in _OFFICIAL_LAYERS[1:])
    if not 0 < low < mid < high:
        raise UserError(
            f"a vision model with {num_layers} layers has no three style levels; use one with at least 5 layers"
        )
    return StyleLayers(high, mid, low)


def select_style_features(hidden_states: Sequence[Tensor], num_layers: int) -> StyleFeatures:
    """Pick the three levels out of a transformers tuple (embeddings first, `num_layers` + 1 entries of `B N C`).

    Raises:
        UserError: not `num_layers` + 1 entries.
    """
    if len(hidden_states) != num_layers + 1:
        raise UserError(
            f"expected {num_layers + 1} hidden states (embeddings and {num_layers} layers), got {len(hidden_states)}"
        )
    return StyleFeatures(*(hidden_states[layer] for layer in style_layers(num_layers)))


def siglip_pixels(picture: Image.Image, size: int = SIGLIP_SIZE) -> np.ndarray:
    """Squash a picture to `size` x `size` as SiglipImageProcessor does: PIL bicubic, aspect ratio not kept.

    Returns:
        uint8, `size size 3`.
    """
    return np.asarray(picture.convert("RGB").resize((size, size), Image.Resampling.BICUBIC))


def siglip_preprocess(picture: Image.Image, size: int = SIGLIP_SIZE) -> Tensor:
    """Return the official SigLIP input of a picture: `1 3 size size` in -1..1 (mean 0.5, deviation 0.5)."""
    pixels = torch.from_numpy(siglip_pixels(picture, size).copy()).float() / 255
    return (pixels.movedim(-1, 0)[None] - 0.5) / 0.5


def prepare_style_image(image: Tensor, size: int = SIGLIP_SIZE, fit: str = "squash") -> Tensor:
    """Fit pictures `b c h w` in 0..1 to SigLIP's square, still in 0..1.

    Args:
        image: pictures.
        size: side of the result.
        fit: `squash` resizes both sides (what USO was trained with), `center` keeps the aspect ratio and crops
            the longer side, `pad` keeps the aspect ratio and fills with mid-grey, which is zero after normalising.

    Returns:
        `b c size size`.

    Raises:
        UserError: an unknown fit.
    """
    height, width = image.shape[-2:]
    if fit == "squash":
        return _resize(image, size, size)
    if fit == "center":
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        return _resize(image[..., top : top + side, left : left + side], size, size)
    if fit == "pad":
        scale = size / max(height, width)
        h, w = max(1, round(height * scale)), max(1, round(width * scale))
        top, left = (size - h) // 2, (size - w) // 2
        return F.pad(_resize(image, h, w), (left, size - w - left, top, size - h - top), value=0.5)
    raise UserError(f"unknown fit {fit!r}; use squash, center or pad")


def _resize(image: Tensor, height: int, width: int) -> Tensor:
    if image.shape[-2:] == (height, width):
        return image
    resized = F.interpolate(image, size=(height, width), mode="bicubic", align_corners=False, antialias=True)
    return resized.clamp(0, 1)
