"""Pictures from disk: every common file becomes upright RGB, and a target fits its bucket without distortion."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image, ImageOps

from ...uso_model.errors import UserError
from ...uso_model.picture_formats import MOST_PIXELS, PICTURE_FORMATS, picture_formats
from ...uso_model.untrusted import quoted, regular_file
from .orientation import only_orientation, upright, upright_size

__all__ = ["OTHERWISE", "decode_picture", "fit_target", "open_picture", "picture_ending", "picture_size"]

Taken = TypeVar("Taken")

OTHERWISE = "take its row out of the manifest"
"""What to do with a picture that cannot be mended."""

# What Pillow and the libraries under it raise on damaged files, besides OSError and ValueError with their many kinds.
_DAMAGE = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    struct.error,
    zlib.error,
    LookupError,
    ArithmeticError,
    RuntimeError,
    TypeError,
    AttributeError,
    MemoryError,
)

_PNG, _JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"
_APP1, _SCAN = 0xE1, 0xDA
"""Markers of JPEG: metadata, and where the picture's data begin."""
_TEXTS = (b"tEXt", b"zTXt", b"iTXt")

_TO_8_BITS = (np.arange(65536) * (255 / 65535)).round().astype(np.uint8)


def open_picture(path: Path, alpha: bool = False, otherwise: str = OTHERWISE) -> Image.Image:
    """Return a picture as RGB: turned as its orientation says, transparency on white, 16 bits scaled to 8.

    Args:
        path: the file.
        alpha: return how opaque the picture is instead, in 8 bits.
        otherwise: what to do where the picture cannot be mended, in the imperative.

    Raises:
        UserError: the file is absent, no file, no picture of `uso_model.picture_formats.PICTURE_FORMATS`, damaged, or
            larger than 100 megapixels.
    """
    return _read(path, lambda picture: _decoded(picture, alpha), otherwise)


def decode_picture(data: bytes, name: str, otherwise: str = OTHERWISE) -> Image.Image:
    """Return the picture of a file's bytes as `open_picture` does; `name` is for messages.

    Raises:
        UserError: see there.
    """
    return _taken(data, name, _decoded, otherwise)


def picture_size(path: Path) -> tuple[int, int]:
    """Return width and height of the picture that `open_picture` returns, without decoding it; see there."""
    return _read(path, upright_size)


def picture_ending(data: bytes, suffix: str = "") -> str | None:
    """Return the ending of a file of these bytes: `suffix` where it is one of their format; None where they are none.

    An MPO may end as the JPEG does that it begins with, as cameras write it.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with _opened(data) as picture:
                kind = str(picture.format)
    except (Image.DecompressionBombError, *_DAMAGE):
        return None
    endings = PICTURE_FORMATS[kind] + (PICTURE_FORMATS["JPEG"] if kind == "MPO" else ())
    return suffix.lower() if suffix.lower() in endings else endings[0]


def _read(path: Path, take: Callable[[Image.Image], Taken], otherwise: str = OTHERWISE) -> Taken:
    """Return what is taken of an opened picture file whose metadata are but its orientation."""
    regular_file(path, f"put the picture back or {otherwise}")
    return _taken(path, str(path), take, otherwise)


def _taken(source: Path | bytes, name: str, take: Callable[[Image.Image], Taken], otherwise: str) -> Taken:
    """Return what is taken of a picture in a file, or in the bytes of one."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the limit below is ours
            with _opened(source) as picture:
                _require_size(picture)
                only_orientation(picture)
                return take(picture)
    except Image.DecompressionBombError as error:
        raise UserError(f"{name} cannot be read as a picture ({_TOO_LARGE}); make it smaller") from error
    except _DAMAGE as error:
        raise UserError(
            f"{name} cannot be read as a picture ({_reason(error, source)}); save it again or {otherwise}"
        ) from error


def _decoded(picture: Image.Image, alpha: bool = False) -> Image.Image:
    picture.load()
    turned, wide = upright(picture), picture.format == "TIFF" and picture.mode == "I"
    found = _alpha(turned) if alpha else _rgb(turned, wide)
    found.info.clear()  # what it says of the file, such as the orientation, is true no more
    return found


_TOO_LARGE = f"it has more than {MOST_PIXELS // 1_000_000} megapixels"


def _opened(source: Path | bytes) -> Image.Image:
    """Open a picture, also one whose metadata Pillow stumbles over while it opens it.

    These are a PNG with more text than Pillow will unpack, such as a megabyte of a workflow, and a JPEG whose Exif data
    give its resolution in a form that there is none of.
    """
    try:
        return Image.open(io.BytesIO(source) if isinstance(source, bytes) else source, formats=picture_formats())
    except (ValueError, Image.UnidentifiedImageError):
        with io.BytesIO(source) if isinstance(source, bytes) else source.open("rb") as file:
            begin = file.read(len(_PNG))
            data = begin + file.read() if begin.startswith((_PNG, _JPEG)) else b""
        if begin == _PNG:
            return Image.open(io.BytesIO(_without_text(data)), formats=("PNG",))
        plain, exif = _without_exif(data)
        if exif is None:
            raise
        picture = Image.open(io.BytesIO(plain), formats=("JPEG",))
        picture.info["exif"] = exif
        return picture


def _without_exif(data: bytes) -> tuple[bytes, bytes | None]:
    """Return a JPEG without its Exif segment, and the segment's contents; None where it has none.

    Source: ITU-T T.81, B.1.1 (markers and lengths of segments).
    """
    place = len(_JPEG) - 1
    while place + 4 <= len(data) and data[place] == 0xFF and data[place + 1] != _SCAN:
        end = place + 2 + int.from_bytes(data[place + 2 : place + 4], "big")
        if data[place + 1] == _APP1 and data[place + 4 :].startswith(b"Exif\0\0"):
            return data[:place] + data[end:], data[place + 4 : end]
        place = end
    return data, None


def _without_text(data: bytes) -> bytes:
    """Return a PNG without its chunks of text, as far as its chunks can be told apart."""
    kept, place = [_PNG], len(_PNG)
    while place + 8 <= len(data):
        (length,) = struct.unpack_from(">I", data, place)
        end = place + 12 + length
        if data[place + 4 : place + 8] not in _TEXTS:
            kept.append(data[place:end])
        place = end
    return b"".join(kept)


def _require_size(picture: Image.Image) -> None:
    """Refuse a size that would not fit in memory, before anything is decoded."""
    if picture.width * picture.height > MOST_PIXELS:
        raise Image.DecompressionBombError


def _reason(error: BaseException, source: Path | bytes) -> str:
    if isinstance(error, Image.UnidentifiedImageError):
        return f"it is none of {', '.join(picture_formats())}"
    text = str(error) if isinstance(source, bytes) else str(error).replace(str(source), source.name)
    return quoted(text or type(error).__name__)


def _rgb(picture: Image.Image, wide: bool = False) -> Image.Image:
    """Return RGB; values of 32 bits (`wide`) of which none is above 255 are 8 bits, others 16."""
    if picture.mode == "F":
        raise UserError("its pixels are floating-point numbers without a known white; 8 or 16 bits are expected")
    if picture.mode.startswith("I"):  # 16 bits or 32; Pillow's own conversion would clip at 255
        values = np.asarray(picture).clip(0, 65535)
        if wide and values.max() <= 255:
            return Image.fromarray(values.astype(np.uint8)).convert("RGB")
        return Image.fromarray(_TO_8_BITS[values]).convert("RGB")
    if _is_clear(picture):
        clear = picture.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", clear.size, "white"), clear).convert("RGB")
    return picture.convert("RGB")


def _is_clear(picture: Image.Image) -> bool:
    return picture.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in picture.info


def _alpha(picture: Image.Image) -> Image.Image:
    return picture.convert("RGBA").getchannel("A") if _is_clear(picture) else Image.new("L", picture.size, 255)


def fit_target(picture: Image.Image, width: int, height: int) -> Image.Image:
    """Resize a picture until it just covers `width` x `height` (Lanczos) and crop the middle; nothing is stretched."""
    return ImageOps.fit(picture, (width, height), Image.Resampling.LANCZOS)
