"""Sixteen photographs of scikit-image, as somebody has them in a folder."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

__all__ = ["copy_photographs"]

PHOTOS = [
    "astronaut.png",
    "brick.png",
    "camera.png",
    "cell.png",
    "chelsea.png",
    "clock_motion.png",
    "coffee.png",
    "coins.png",
    "grass.png",
    "gravel.png",
    "hubble_deep_field.jpg",
    "ihc.png",
    "moon.png",
    "motorcycle_left.png",
    "rocket.jpg",
    "retina.jpg",
]


def copy_photographs(folder: Path) -> None:
    """Make a folder and copy the photographs to it."""
    found = importlib.util.find_spec("skimage")
    assert found is not None and found.submodule_search_locations, "scikit-image is missing: make setup"
    folder.mkdir(parents=True)
    for name in PHOTOS:
        shutil.copy(Path(found.submodule_search_locations[0]) / "data" / name, folder)
