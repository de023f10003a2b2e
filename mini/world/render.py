"""Scenes to pictures."""

from __future__ import annotations

import numpy as np

from .photo import photo
from .scene import Scene
from .styles import Style, styled


def render_photo(scene: Scene) -> np.ndarray:
    """Return the scene as a photo, 128 128 3 uint8."""
    return _bytes(photo(scene))


def render_style(scene: Scene, style: Style) -> np.ndarray:
    """Return the scene in a style, 128 128 3 uint8."""
    return _bytes(styled(scene, style))


def _bytes(picture: np.ndarray) -> np.ndarray:
    """Return a picture 3 h w in 0..1 as h w 3 uint8."""
    values = (np.clip(picture, 0.0, 1.0) * np.float32(255.0) + np.float32(0.5)).astype(np.uint8)
    return np.ascontiguousarray(values.transpose(1, 2, 0))
