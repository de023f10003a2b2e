"""Pictures from disk: every common file becomes upright RGB, and a target fits its bucket without distortion."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from ...uso_model.errors import UserError

__all__ = ["fit_target", "open_picture"]

# What Pillow raises on damaged files, besides OSError with its many subclasses.
_DAMAGE = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, IndexError, KeyError, OverflowError)


def open_picture(path: Path) -> Image.Image:
    """Return a picture as RGB: turned as its EXIF data says, transparency on white, 16 bits scaled to 8.

    Raises:
        UserError: the file is absent, no picture, or damaged.
    """
    try:
        with Image.open(path) as picture:
            picture.load()
            return _rgb(ImageOps.exif_transpose(picture))
    except FileNotFoundError as error:
        raise UserError(f"{path} is not there; put the picture back or take its row out of the manifest") from error
    except (*_DAMAGE, Image.DecompressionBombError) as error:
        raise UserError(
            f"{path} cannot be read as a picture ({error}); save it again or take its row out of the manifest"
        ) from error


def _rgb(picture: Image.Image) -> Image.Image:
    if picture.mode == "F":
        raise UserError("its pixels are floating-point numbers without a known white; 8 or 16 bits are expected")
    if picture.mode.startswith("I"):  # 16 bits; Pillow's own conversion would clip at 255
        values = np.asarray(picture, dtype=np.float64) * (255 / 65535)
        return Image.fromarray(values.round().clip(0, 255).astype(np.uint8)).convert("RGB")
    if picture.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in picture.info:
        clear = picture.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", clear.size, "white"), clear).convert("RGB")
    return picture.convert("RGB")


def fit_target(picture: Image.Image, width: int, height: int) -> Image.Image:
    """Resize a picture until it just covers `width` x `height` (Lanczos) and crop the middle; nothing is stretched."""
    return ImageOps.fit(picture, (width, height), Image.Resampling.LANCZOS)
