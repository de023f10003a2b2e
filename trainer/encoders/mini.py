"""The encoders of USO-mini."""

from __future__ import annotations

import torch
from PIL import Image
from torch import Tensor

from ...uso_model import mini
from ...uso_model.images import picture_tensor
from ...uso_model.style import StyleFeatures, siglip_preprocess
from .fingerprint import fingerprint
from .interface import Encoders, Gaussian

__all__ = ["mini_encoders"]


def mini_encoders() -> Encoders:
    """Return the bundled encoders, on the CPU; they are too small to be worth moving or releasing."""
    models = mini.load_encoders()
    for network in (models.autoencoder, models.vision, models.text):
        network.requires_grad_(False)

    @torch.no_grad()
    def latent(picture: Image.Image) -> Gaussian:
        return Gaussian(models.autoencoder.encode(picture_tensor(picture))[0], logvar=None)

    @torch.no_grad()
    def style(picture: Image.Image) -> StyleFeatures:
        features, _ = models.vision(siglip_preprocess(picture, models.vision.picture_size))
        return StyleFeatures(*(level[0] for level in features))

    @torch.no_grad()
    def text(prompt: str) -> tuple[Tensor, Tensor]:
        txt, vec = models.text(models.tokenizer.batch([prompt]))
        return txt[0], vec[0]

    def decode(latents: Tensor) -> Tensor:
        return models.autoencoder.decode(latents.cpu()).to(latents.device)

    files = mini.paths()
    names = {
        name: fingerprint(files[part])
        for name, part in {"latent": "autoencoder", "style": "vision", "text": "text"}.items()
    }
    return Encoders(latent, style, text, decode, look=None, names=names, release=lambda: None)
