"""Pictures: to tensors and back, and fitting a content picture to the size at which USO reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PIL import Image

from .errors import UserError
from .packing import PIXELS_PER_TOKEN
from .picture_formats import MOST_PIXELS, PICTURE_FORMATS, PICTURE_SUFFIXES, picture_formats

if TYPE_CHECKING:  # sizes are asked for by commands that do not wait for torch
    from torch import Tensor

__all__ = [
    "CONTENT_LONG_SIDE",
    "MOST_PIXELS",
    "PICTURE_FORMATS",
    "PICTURE_SUFFIXES",
    "cropped_size",
    "fit_content_image",
    "fitted_size",
    "layout_size",
    "picture_formats",
    "picture_tensor",
    "tensor_pictures",
]

CONTENT_LONG_SIDE = 512
"""Long side of a content reference in pixels, the official default."""

_ONE_TOKEN = (PIXELS_PER_TOKEN, PIXELS_PER_TOKEN)


def fitted_size(width: int, height: int, long_side: int = CONTENT_LONG_SIDE) -> tuple[int, int]:
    """Return the size to which a picture is resized before the crop: long side exact, short side truncated.

    Raises:
        UserError: a side of the result under 16 pixels, which is less than one token.
    """
    if width >= height:
        size = long_side, int((long_side / width) * height)
    else:
        size = int((long_side / height) * width), long_side
    if min(size) < PIXELS_PER_TOKEN:
        raise UserError(
            f"Got a content image of {width}x{height} that becomes {size[0]}x{size[1]} at long side {long_side}, less "
            f"than one token of {PIXELS_PER_TOKEN} pixels: use a larger long side or crop the image."
        )
    return size


def cropped_size(width: int, height: int, long_side: int = CONTENT_LONG_SIDE) -> tuple[int, int]:
    """Return the size that a content picture has after `fit_content_image`.

    Raises:
        UserError: see `fitted_size`.
    """
    if (width, height) == _ONE_TOKEN:
        return _ONE_TOKEN
    w, h = (side // PIXELS_PER_TOKEN * PIXELS_PER_TOKEN for side in fitted_size(width, height, long_side))
    return w, h


def layout_size(width: int, height: int, drawn_long_side: int, long_side: int = CONTENT_LONG_SIDE) -> tuple[int, int]:
    """Return the size at which the official code draws in the layout of a content picture of `width` x `height`.

    It scales the picture that the VAE has seen, so that both have one aspect ratio, and floors to multiples of 16.

    Source: bytedance/USO, inference.py (instruct_edit) and uso/flux/pipeline.py (preprocess_ref, `__call__`), where
    `drawn_long_side` is 1024. A side that becomes 0 there is 16 here.

    Raises:
        UserError: see `fitted_size`.
    """
    scale = drawn_long_side / long_side
    w, h = (
        max(PIXELS_PER_TOKEN, int(side * scale) // PIXELS_PER_TOKEN * PIXELS_PER_TOKEN)
        for side in cropped_size(width, height, long_side)
    )
    return w, h


def fit_content_image(picture: Image.Image, long_side: int = CONTENT_LONG_SIDE) -> Image.Image:
    """Resize a content picture to `long_side` (Lanczos) and centre-crop both sides to a multiple of 16.

    Source: bytedance/USO, uso/flux/pipeline.py (preprocess_ref), whose special case is kept: a picture of exactly
    16x16 pixels is returned as it is. Its callers convert to RGB first.

    Returns:
        RGB picture.

    Raises:
        UserError: see `fitted_size`.
    """
    if picture.size == _ONE_TOKEN:
        return picture.convert("RGB")
    width, height = fitted_size(*picture.size, long_side)
    resized = picture.resize((width, height), Image.Resampling.LANCZOS)
    crop_width, crop_height = cropped_size(*picture.size, long_side)
    left, top = (width - crop_width) // 2, (height - crop_height) // 2
    return resized.crop((left, top, left + crop_width, top + crop_height)).convert("RGB")


def picture_tensor(picture: Image.Image) -> Tensor:
    """Return an RGB picture as `1 3 h w` in -1..1."""
    import torch

    pixels = torch.frombuffer(bytearray(picture.convert("RGB").tobytes()), dtype=torch.uint8)
    return pixels.view(1, picture.height, picture.width, 3).movedim(-1, 1).float() / 127.5 - 1


def tensor_pictures(x: Tensor) -> list[Image.Image]:
    """Return pictures of `b 3 h w` in -1..1; bytes are truncated, not rounded, as in the official pipeline."""
    pixels = (127.5 * (x.float().clamp(-1, 1) + 1)).byte().movedim(1, -1).cpu().numpy()
    return [Image.fromarray(picture) for picture in pixels]
