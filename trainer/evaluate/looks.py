"""What can be known of a picture's file before anything judges it, and what is wrong with it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from ...uso_model.errors import UserError
from ..data.pictures import open_picture

__all__ = ["UNSEEN", "Look", "Problem", "look_at", "opened"]

Problem = Literal["missing", "unreadable", "too large", "wrong size", "black", "one colour", "not finite"]
"""`not finite`: a judge gave numbers that are none."""

UNSEEN: frozenset[Problem] = frozenset({"missing", "unreadable", "too large"})
"""Those that leave nothing to judge. Every other picture is judged: a model that draws black ones is worse for it."""


@dataclass(frozen=True)
class Look:
    """A picture that can be judged."""

    sha256: str
    """Of its size and its pixels."""
    width: int
    height: int
    problem: Literal["black", "one colour"] | None

    def packed(self) -> np.ndarray:
        """Return it as an array of bytes, as the store keeps it."""
        return np.frombuffer(json.dumps(asdict(self)).encode(), np.uint8)

    @classmethod
    def unpacked(cls, data: np.ndarray) -> Look:
        """Return what `packed` has packed."""
        return cls(**json.loads(data.tobytes()))


def opened(path: Path) -> Image.Image | Problem:
    """Return a picture as upright RGB, or why there is none."""
    if not path.is_file():
        return "missing"
    try:
        return open_picture(path)
    except UserError as error:
        return "too large" if isinstance(error.__cause__, Image.DecompressionBombError) else "unreadable"
    except OSError:
        return "unreadable"


def look_at(picture: Image.Image) -> Look:
    """Return hash and size of a picture, and whether it shows nothing."""
    pixels = picture.tobytes()
    digest = hashlib.sha256(f"{picture.width}x{picture.height}:".encode())
    digest.update(pixels)
    first, row = pixels[:3], 3 * picture.width
    problem: Literal["black", "one colour"] | None = None
    # A row tells most pictures from those of one colour.
    if pixels[:row] == first * picture.width and pixels == first * (picture.width * picture.height):
        problem = "one colour" if any(first) else "black"
    return Look(digest.hexdigest(), picture.width, picture.height, problem)
