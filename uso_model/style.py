"""Which SigLIP layers USO reads, and how a style picture is brought to SigLIP's size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from .errors import UserError
from .images import MOST_PIXELS

__all__ = [
    "SIGLIP_SIZE",
    "StyleFeatures",
    "StyleLayers",
    "select_style_features",
    "siglip_pixels",
    "siglip_preprocess",
    "style_layers",
]

SIGLIP_SIZE = 384
"""Side of the picture that google/siglip-so400m-patch14-384 reads."""

MID_GREY = 128
"""Of 255: what a half becomes in 8 bits."""

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


def siglip_pixels(picture: Image.Image, size: int = SIGLIP_SIZE, fit: str = "squash") -> np.ndarray:
    """Bring a picture to SigLIP's square as SiglipImageProcessor does: PIL bicubic on 8 bits.

    Args:
        picture: in any mode; becomes RGB.
        size: side of the result.
        fit: `squash` resizes both sides (what USO was trained with); `center` first cuts off the longer sides, `pad`
            first adds bars of mid-grey, which is zero after normalising, and both so keep the aspect ratio.

    Returns:
        uint8, `size size 3`.

    Raises:
        UserError: an unknown fit, or a picture too long for `pad`.
    """
    picture = picture.convert("RGB")
    width, height = picture.size
    if fit == "center":
        side = min(width, height)
        left, top = (width - side) // 2, (height - side) // 2
        picture = picture.crop((left, top, left + side, top + side))
    elif fit == "pad":
        picture = _padded(picture, max(width, height))
    elif fit != "squash":
        raise UserError(f"unknown fit {fit!r}; use squash, center or pad")
    return np.asarray(picture.resize((size, size), Image.Resampling.BICUBIC))


def siglip_preprocess(picture: Image.Image, size: int = SIGLIP_SIZE) -> Tensor:
    """Return the official SigLIP input of a picture: `1 3 size size` in -1..1 (mean 0.5, deviation 0.5)."""
    pixels = torch.from_numpy(siglip_pixels(picture, size).copy()).float() / 255
    return (pixels.movedim(-1, 0)[None] - 0.5) / 0.5


def _padded(picture: Image.Image, side: int) -> Image.Image:
    if side * side > MOST_PIXELS:
        raise UserError(
            f"Got a style image of {picture.width}x{picture.height} pixels to pad, expected no side above "
            f"{math.isqrt(MOST_PIXELS)}: make it smaller first, or set fit to squash or center."
        )
    square = Image.new("RGB", (side, side), (MID_GREY,) * 3)
    square.paste(picture, ((side - picture.width) // 2, (side - picture.height) // 2))
    return square
