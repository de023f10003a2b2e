"""Which pictures are read, and how large they may be."""

from __future__ import annotations

from PIL import Image

__all__ = ["MOST_PIXELS", "PICTURE_FORMATS", "PICTURE_SUFFIXES", "picture_formats"]

MOST_PIXELS = 100_000_000
"""Of a picture that is decoded; a file of some kilobytes may claim any number."""

PICTURE_FORMATS = {
    "PNG": (".png",),
    "JPEG": (".jpg", ".jpeg", ".jfif"),
    "MPO": (".mpo",),
    "WEBP": (".webp",),
    "BMP": (".bmp",),
    "TIFF": (".tif", ".tiff"),
    "GIF": (".gif",),
    "AVIF": (".avif",),
    "PPM": (".ppm", ".pgm", ".pbm"),
    "HEIF": (".heic", ".heif", ".hif"),
}
"""Formats of pictures that are read, by Pillow's names, and the endings of their files.

Pillow goes by the bytes and not by the ending, and some of its decoders start programs (EPS runs Ghostscript), so every
`Image.open` names its formats."""

PICTURE_SUFFIXES = frozenset(suffix for suffixes in PICTURE_FORMATS.values() for suffix in suffixes)


def picture_formats() -> tuple[str, ...]:
    """Return the formats that this Pillow can open, as `Image.open` takes them; HEIF needs a plugin of its own."""
    Image.init()
    return tuple(name for name in PICTURE_FORMATS if name in Image.OPEN)
