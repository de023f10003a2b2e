"""A judge that is one network: its picture is resized, encoded, and the features become a unit vector."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from .judge import Card
from .preprocessing import Preprocessing

__all__ = ["EncoderJudge"]


class EncoderJudge(nn.Module, ABC):
    """Describes pictures by the normalised features of a vision tower; called with pixels, it is `embed_pixels`."""

    def __init__(self, card: Card, preprocessing: Preprocessing):
        super().__init__()
        self.card = card
        self.preprocessing = preprocessing

    @abstractmethod
    def features(self, prepared: Tensor) -> Tensor:
        """Return the features `b D`, of any length, of prepared pictures `b 3 s s`."""

    def prepare(self, picture: Image.Image) -> Tensor:
        """Return a picture as the network takes it, `3 s s`, resized and cut by Pillow.

        Raises:
            UserError: a picture without pixels.
        """
        return self.preprocessing.of_picture(picture)

    def embed(self, prepared: Tensor) -> Tensor:
        """Return unit vectors `b D` of prepared pictures `b 3 s s`."""
        return F.normalize(self.features(prepared), dim=-1)

    def embed_pixels(self, pixels: Tensor) -> Tensor:
        """Return unit vectors `b D` of pictures `b 3 h w` in -1..1, with a gradient down to the pixels."""
        return self.embed(self.preprocessing.of_pixels(pixels))

    def forward(self, pixels: Tensor) -> Tensor:
        """Return unit vectors `b D` of pictures `b 3 h w` in -1..1."""
        return self.embed_pixels(pixels)
