"""The encoders of USO-mini."""

from __future__ import annotations

from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from ...uso_model import mini
from ...uso_model.images import picture_tensor
from ...uso_model.style import StyleFeatures, siglip_preprocess
from .fingerprint import fingerprint
from .interface import Encoders, Gaussian
from .loaded import Loaded

__all__ = ["mini_encoders"]


def mini_encoders(folder: Path = mini.WEIGHTS) -> Encoders:
    """Return the encoders of a folder, on the CPU; they are too small to be worth moving or releasing."""
    models = mini.load_encoders(folder)
    descriptor = Loaded(lambda: mini.load_descriptor(folder).requires_grad_(False))  # the reward's alone
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

    def look(pixels: Tensor) -> Tensor:
        return descriptor.get()(pixels.cpu()).to(pixels.device)

    files = mini.paths(folder)
    parts = {"latent": "autoencoder", "style": "vision", "text": "text", "look": "descriptor"}
    names = {name: fingerprint(files[part]) for name, part in parts.items() if files[part].is_file()}
    return Encoders(latent, style, text, decode, look, names=names, release=lambda: None)
