"""What every judge offers: pictures, or texts, to unit vectors, and a card that says what it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import torch
from PIL import Image
from torch import Tensor

__all__ = ["Card", "Judge", "Sees", "TextJudge", "described"]

Sees = Literal["style", "subject", "text"]
"""What a judge claims to tell apart. Whether it does on a given set is measured by `discrimination`."""


@dataclass(frozen=True)
class Card:
    """What a judge is: printed in every report, and part of the name under which its features are cached."""

    name: str
    """Short and unique, such as `csd`: the name in recipes, columns and on the command line."""
    sees: tuple[Sees, ...]
    model: str
    """Where the weights were published, such as `openai/clip-vit-base-patch32`."""
    revision: str
    licence: str
    preprocessing: str
    """In words, such as `short side 224, bicubic; middle 224 x 224; CLIP's mean and deviation`."""
    range: tuple[float, float]
    """Of a cosine between two vectors of this judge, as far as it is known in theory."""
    address: str
    """Where the file can be had by hand; nothing is ever downloaded."""
    published_sha256: str | None = None
    """Of the published file; None where it was never at hand."""
    sha256: str | None = None
    """Of the file that was read; None for a judge without weights."""
    file: str = ""
    """Name of the published file; it may be called otherwise on disk."""


@runtime_checkable
class Judge(Protocol):
    """Describes pictures by unit vectors whose products tell likeness."""

    card: Card

    def prepare(self, picture: Image.Image) -> Tensor:
        """Return a picture as the network takes it, `3 s s`: resized and cut by Pillow, as published."""
        ...

    def embed(self, prepared: Tensor) -> Tensor:
        """Return unit vectors `b D` of prepared pictures `b 3 s s`."""
        ...

    def embed_pixels(self, pixels: Tensor) -> Tensor:
        """Return unit vectors `b D` of pictures `b 3 h w` in -1..1, with a gradient down to the pixels."""
        ...


@runtime_checkable
class TextJudge(Judge, Protocol):
    """Describes texts, too, in the space of its pictures."""

    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        """Return unit vectors `b D`; what a text has beyond the network's length is cut."""
        ...


@torch.no_grad()
def described(judge: Judge, pictures: Sequence[Image.Image], device: torch.device | str = "cpu") -> Tensor:
    """Return unit vectors `b D`, on the CPU, of pictures of any size."""
    prepared = torch.stack([judge.prepare(picture) for picture in pictures])
    return judge.embed(prepared.to(device)).float().cpu()
