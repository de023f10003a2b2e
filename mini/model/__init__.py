"""USO-mini: the small model that this repository trains and ships, so that everything runs without a download.

Its files have the same formats as the real ones, so the same readers load them. Sizes live in the files.
"""

from __future__ import annotations

from .autoencoder import MiniAutoencoder
from .descriptor import MiniDescriptor
from .files import NAMES, PICTURE_SIZE, WEIGHTS, missing_files, weight_files
from .networks import (
    MiniEncoders,
    MiniModels,
    load_autoencoder,
    load_descriptor,
    load_encoders,
    load_mini,
    load_vision,
    save_autoencoder,
    save_descriptor,
    save_encoders,
)
from .text import MAX_TOKENS, MiniTextEncoder, MiniTokenizer, load_text

__all__ = [
    "MAX_TOKENS",
    "NAMES",
    "PICTURE_SIZE",
    "WEIGHTS",
    "MiniAutoencoder",
    "MiniDescriptor",
    "MiniEncoders",
    "MiniModels",
    "MiniTextEncoder",
    "MiniTokenizer",
    "load_autoencoder",
    "load_descriptor",
    "load_encoders",
    "load_mini",
    "load_text",
    "load_vision",
    "missing_files",
    "save_autoencoder",
    "save_descriptor",
    "save_encoders",
    "weight_files",
]
