"""Where the miniature's files are."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

__all__ = ["NAMES", "PICTURE_SIZE", "WEIGHTS", "missing_files", "weight_files"]

PICTURE_SIZE = 128
"""Side of the pictures that the miniature was trained on, in pixels."""

NAMES = {
    "flux": "flux-mini.safetensors",
    "lora": "uso-mini-lora.safetensors",
    "projector": "uso-mini-projector.safetensors",
    "autoencoder": "ae-mini.safetensors",
    "descriptor": "csd-mini.safetensors",
    "vision": "siglip-mini.safetensors",
    "vision_config": "siglip-mini.json",
    "text": "text-mini.safetensors",
    "text_config": "text-mini.json",
}
"""File of every part."""

WEIGHTS = Path(__file__).parents[1] / "weights"
"""Folder of the bundled files."""


def weight_files(folder: Path = WEIGHTS) -> dict[str, Path]:
    """Return the file of every part, whether it exists or not."""
    return {part: folder / name for part, name in NAMES.items()}


def missing_files(parts: Iterable[str] = tuple(NAMES), folder: Path = WEIGHTS) -> list[str]:
    """Return the names of the files of the given parts that are not there."""
    return [path.name for part, path in weight_files(folder).items() if part in parts and not path.is_file()]
