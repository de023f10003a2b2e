"""Frozen encoders: pictures to latents, pictures to style features, prompts to text tokens."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor

from ..uso_model import mini
from ..uso_model.images import fit_content_image
from ..uso_model.mini.pipeline import to_tensor
from ..uso_model.style import StyleFeatures, siglip_preprocess

__all__ = ["Encoders", "mini_encoders"]


@dataclass(frozen=True)
class Encoders:
    """The three encoders of a training run, each for one input, and the fingerprints that name them in the cache."""

    latent: Callable[[Image.Image], Tensor]
    """Picture to latent in model scale, `c h w`."""
    style: Callable[[Image.Image], StyleFeatures]
    """Picture to style features, each `N C`."""
    text: Callable[[str], tuple[Tensor, Tensor]]
    """Prompt to text tokens `L D` and pooled text `D`."""
    names: dict[str, str]
    """Fingerprint of each of them."""


def mini_encoders(content_long_side: int = mini.PICTURE_SIZE) -> Encoders:
    """Return the miniature's encoders; pictures are fitted by the same functions that the nodes use."""
    models = mini.load_encoders()

    @torch.no_grad()
    def latent(picture: Image.Image) -> Tensor:
        return models.autoencoder.encode(to_tensor(fit_content_image(picture, content_long_side)))[0]

    @torch.no_grad()
    def style(picture: Image.Image) -> StyleFeatures:
        features, _ = models.vision(siglip_preprocess(picture, models.vision.picture_size))
        return StyleFeatures(*(level[0] for level in features))

    @torch.no_grad()
    def text(prompt: str) -> tuple[Tensor, Tensor]:
        txt, vec = models.text(models.tokenizer.batch([prompt]))
        return txt[0], vec[0]

    files = mini.paths()
    prints = {
        part: hashlib.sha256(files[part].read_bytes()).hexdigest()[:16] for part in ("autoencoder", "vision", "text")
    }
    return Encoders(
        latent,
        style,
        text,
        {
            "latent": f"mean, long side {content_long_side}, {prints['autoencoder']}",
            "style": f"squash, {prints['vision']}",
            "text": prints["text"],
        },
    )
