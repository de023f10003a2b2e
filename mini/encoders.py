"""The encoders of USO-mini."""

from __future__ import annotations

from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from ..trainer.encoders.fingerprint import fingerprint
from ..trainer.encoders.interface import Encoders, Gaussian, PictureJudge
from ..trainer.encoders.lazy import Lazy
from ..trainer.recipe import DESCRIPTOR
from ..uso_model.images import picture_tensor
from ..uso_model.style import StyleFeatures, siglip_preprocess
from .model import WEIGHTS, load_descriptor, load_encoders, weight_files

__all__ = ["mini_encoders"]


def mini_encoders(folder: Path = WEIGHTS) -> Encoders:
    """Return the encoders of a folder, on the CPU: they are too small to be worth moving or releasing."""
    models = load_encoders(folder)
    style_descriptor = Lazy(lambda: load_descriptor(folder).requires_grad_(False), "the style descriptor")
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

    def descriptor(pixels: Tensor) -> Tensor:
        return style_descriptor.get()(pixels.cpu()).to(pixels.device)

    files = weight_files(folder)
    parts = {"latent": "autoencoder", "style": "vision", "text": "text", DESCRIPTOR: "descriptor"}
    names = {name: fingerprint(files[part]) for name, part in parts.items() if files[part].is_file()}
    judges = {DESCRIPTOR: PictureJudge(descriptor, "style", names.pop(DESCRIPTOR, None))}  # in the place of CSD
    return Encoders(latent, style, text, decode, judges, names, release=lambda: None)
