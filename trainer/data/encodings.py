"""How the inputs of a row become tensors, and under which name each encoding is cached."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from PIL import Image
from torch import Tensor

from ...uso_model.errors import UserError
from ...uso_model.images import fit_content_image, picture_tensor
from ..encoders import Encoders
from ..settings.data import DataConfig
from .buckets import nearest_bucket, require_size
from .pictures import fit_target, open_picture

__all__ = ["Encoding", "Encodings", "encodings"]


class Encoding(NamedTuple):
    """One kind of input."""

    recipe: str
    """Transform and fingerprint of the encoder, part of the cache's keys."""
    encode: Callable[[Any], dict[str, Tensor]]
    """Prompt or path of a picture to what is kept."""


class Encodings(NamedTuple):
    """All kinds. What is kept has half the bytes of float32, with the rounding that training does anyway."""

    text: Encoding
    """`txt` tokens `L D` and pooled `vec` `D`, bfloat16."""
    style: Encoding
    """The levels of the style features, each `N C`, float16: they stay far below its largest value."""
    descriptor: Encoding
    """The style `descriptor`, `D`, float32."""
    target: Encoding
    """`mean` and, where the autoencoder has one, `logvar`, `c h w`, float16."""
    content: Encoding
    """As `target`."""


def encodings(encoders: Encoders, settings: DataConfig) -> Encodings:
    """Return how the encoders are used with these settings.

    Raises:
        UserError: a size beyond all use.
    """
    require_size(settings.size)
    require_size(settings.content_size)

    def text(prompt: str) -> dict[str, Tensor]:
        txt, vec = encoders.text(prompt)
        return {"txt": txt.bfloat16(), "vec": vec.bfloat16()}

    def style(path: Path) -> dict[str, Tensor]:
        return {name: level.half() for name, level in encoders.style(open_picture(path))._asdict().items()}

    @torch.no_grad()
    def descriptor(path: Path) -> dict[str, Tensor]:
        assert encoders.descriptor is not None  # asked for by who wants descriptors
        return {"descriptor": encoders.descriptor(picture_tensor(open_picture(path)))[0].float().cpu()}

    def latent(picture: Image.Image) -> dict[str, Tensor]:
        found = encoders.latent(picture)
        return {name: part.half() for name, part in found._asdict().items() if part is not None}

    def target(path: Path) -> dict[str, Tensor]:
        picture = open_picture(path)
        bucket = nearest_bucket(*picture.size, settings.size) if settings.buckets else (settings.size, settings.size)
        return latent(fit_target(picture, *bucket))

    def content(path: Path) -> dict[str, Tensor]:
        picture = open_picture(path)
        try:
            fitted = fit_content_image(picture, settings.content_size)
        except ValueError as error:
            raise UserError(f"{path}: {error}") from error
        return latent(fitted)

    shape = "" if settings.buckets else " square"
    names = encoders.names
    return Encodings(
        text=Encoding(f"text, {names['text']}", text),
        style=Encoding(f"style, {names['style']}", style),
        descriptor=Encoding(f"descriptor, {names.get('descriptor')}", descriptor),
        target=Encoding(f"target {settings.size}{shape}, {names['latent']}", target),
        content=Encoding(f"content {settings.content_size}, {names['latent']}", content),
    )
