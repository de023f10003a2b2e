"""How a picture is to be turned: the one tag of its metadata that is read.

Metadata of phones and editors are often damaged in other tags; no picture is lost for them.

Source: Exif 2.32, section 4.6 (TIFF header, IFD, tag Orientation).
"""

from __future__ import annotations

import re
import struct

from PIL import Image

__all__ = ["only_orientation", "upright", "upright_size"]

_TAG = 0x0112
_LETTERS = {1: "B", 3: "H", 4: "I"}
"""Types of whole numbers; the tag should be a SHORT."""

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ON_THE_SIDE = (5, 6, 7, 8)
_XMP = re.compile(rb'tiff:Orientation(?:="|>)([1-8])')


def only_orientation(picture: Image.Image) -> None:
    """Let Pillow see no metadata of an opened picture but its orientation; a TIFF turns by it while it is decoded."""
    tags = Image.Exif()
    tags[_TAG] = _orientation(picture)
    picture.getexif = lambda: tags  # type: ignore[method-assign]


def upright(picture: Image.Image) -> Image.Image:
    """Return a decoded picture turned as its orientation says; see `only_orientation`."""
    turn = _TURNS.get(picture.getexif().get(_TAG, 1))
    return picture if turn is None or picture.format == "TIFF" else picture.transpose(turn)


def upright_size(picture: Image.Image) -> tuple[int, int]:
    """Return width and height that an opened picture, not yet decoded, will have when it is upright."""
    width, height = picture.size
    return (height, width) if picture.getexif().get(_TAG, 1) in _ON_THE_SIDE else (width, height)


def _orientation(picture: Image.Image) -> int:
    """Return 1 to 8, 1 where there is none."""
    if picture.format == "TIFF":
        found = getattr(picture, "tag_v2", {}).get(_TAG)
        return found if found in _TURNS else 1
    exif = picture.info.get("exif") or _hexadecimal(picture.info.get("Raw profile type exif"))
    found = _of_exif(exif) if isinstance(exif, bytes) else None
    return _of_xmp(picture) if found is None else found


def _of_exif(data: bytes) -> int | None:
    """Return the orientation in Exif data, None where it cannot be found."""
    data = data.removeprefix(b"Exif\0\0")
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(data[:4])
    if order is None:
        return None
    try:
        (start,) = struct.unpack_from(f"{order}I", data, 4)
        (entries,) = struct.unpack_from(f"{order}H", data, start)
        for number in range(entries):
            place = start + 2 + 12 * number
            tag, kind, count = struct.unpack_from(f"{order}HHI", data, place)
            if tag == _TAG and kind in _LETTERS and count:
                (found,) = struct.unpack_from(f"{order}{_LETTERS[kind]}", data, place + 8)
                return found if 1 <= found <= 8 else None
    except struct.error:  # the list ends before its entries do
        return None
    return None


def _of_xmp(picture: Image.Image) -> int:
    xmp = picture.info.get("XML:com.adobe.xmp") or picture.info.get("xmp") or b""
    found = _XMP.search(xmp.encode() if isinstance(xmp, str) else xmp)
    return int(found[1]) if found else 1


def _hexadecimal(profile: object) -> bytes | None:
    """Return the Exif data that ImageMagick writes into PNG as text: name, length, hexadecimal digits."""
    if not isinstance(profile, str):
        return None
    try:
        return bytes.fromhex("".join(profile.split("\n")[3:]))
    except ValueError:
        return None
