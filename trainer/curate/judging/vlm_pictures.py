"""Pictures as a vision language model gets them: JPEG of bounded size."""

from __future__ import annotations

from io import BytesIO
from typing import Any

from PIL import Image

__all__ = ["as_sent", "plain_alike", "sent_settings"]

_QUALITY = 95


def sent_settings(longest: int) -> dict[str, Any]:
    """Return what decides the bytes that are sent of a picture."""
    return {"longest": longest, "format": "jpeg", "quality": _QUALITY}


def as_sent(picture: Image.Image, longest: int) -> bytes:
    """Return a picture as JPEG whose longer side has at most so many pixels; small ones are not enlarged."""
    picture = picture.convert("RGB")
    if max(picture.size) > longest:
        picture.thumbnail((longest, longest), Image.Resampling.LANCZOS)
    data = BytesIO()
    picture.save(data, format="JPEG", quality=_QUALITY, subsampling=0)
    return data.getvalue()


def plain_alike(sent: bytes) -> bytes:
    """Return a grey picture of the same size as one that is sent."""
    with Image.open(BytesIO(sent), formats=("JPEG",)) as picture:
        return as_sent(Image.new("RGB", picture.size, (128, 128, 128)), max(picture.size))
