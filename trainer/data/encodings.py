"""How the inputs of a row become tensors, and under which name each encoding is cached."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from PIL import Image
from torch import Tensor

from ...uso_model.errors import UserError
from ...uso_model.images import fit_content_image, picture_tensor
from ..encoders import Encoders, PictureJudge
from ..settings.data import DataConfig
from .buckets import nearest_bucket, require_size
from .pictures import fit_target, open_picture

__all__ = ["Encoding", "Encodings", "Pictured", "encodings"]


class Encoding(NamedTuple):
    """One kind of input."""

    recipe: str
    """Transform and fingerprint of the encoder, part of the cache's keys."""
    encode: Callable[[Any], dict[str, Tensor]]
    """Prompt, or a picture or its path, to what is kept."""


Pictured = Path | Image.Image
"""A picture's file, or the picture itself in RGB."""


class Encodings(NamedTuple):
    """All kinds. What is kept has half the bytes of float32, with the rounding that training does anyway."""

    text: Encoding
    """`txt` tokens `L D` and pooled `vec` `D`, bfloat16."""
    style: Encoding
    """The levels of the style features, each `N C`, float16: they stay far below its largest value."""
    judges: dict[str, Encoding]
    """By judge: its `descriptor`, `D`, float32."""
    target: dict[tuple[int, bool], Encoding]
    """By size and whether mirrored: `mean` and, where the autoencoder has one, `logvar`, `c h w`, float16."""
    content: dict[bool, Encoding]
    """By whether mirrored, as `target`."""


def encodings(encoders: Encoders, settings: DataConfig) -> Encodings:
    """Return how the encoders are used with these settings.

    Raises:
        UserError: a size beyond all use.
    """
    for size in settings.sizes:
        require_size(size)
    require_size(settings.content_size)

    def text(prompt: str) -> dict[str, Tensor]:
        txt, vec = encoders.text(prompt)
        return {"txt": txt.bfloat16(), "vec": vec.bfloat16()}

    def style(what: Pictured) -> dict[str, Tensor]:
        return {name: level.half() for name, level in encoders.style(_opened(what))._asdict().items()}

    @torch.no_grad()
    def described(judge: PictureJudge, what: Pictured) -> dict[str, Tensor]:
        return {"descriptor": judge.embed(picture_tensor(_opened(what)))[0].float().cpu()}

    def latent(picture: Image.Image, mirrored: bool) -> dict[str, Tensor]:
        # Mirrored last, so that it shows what the picture as it is does: a crop may be off the middle by a pixel.
        found = encoders.latent(picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if mirrored else picture)
        return {name: part.half() for name, part in found._asdict().items() if part is not None}

    def target(size: int, mirrored: bool, what: Pictured) -> dict[str, Tensor]:
        picture = _opened(what)
        bucket = nearest_bucket(*picture.size, size) if settings.buckets else (size, size)
        return latent(fit_target(picture, *bucket), mirrored)

    def content(mirrored: bool, what: Pictured) -> dict[str, Tensor]:
        try:
            fitted = fit_content_image(_opened(what), settings.content_size)
        except ValueError as error:
            raise UserError(f"{what if isinstance(what, Path) else 'the content reference'}: {error}") from error
        return latent(fitted, mirrored)

    shape = "" if settings.buckets else " square"
    flips = {False: "", True: " mirrored"} if settings.flip else {False: ""}
    names = encoders.names
    return Encodings(
        text=Encoding(f"text, {names['text']}", text),
        style=Encoding(f"style, {names['style']}", style),
        judges={
            name: Encoding(f"descriptor, {judge.name}", partial(described, judge))
            for name, judge in encoders.judges.items()
        },
        target={
            (size, flip): Encoding(f"target {size}{shape}{way}, {names['latent']}", partial(target, size, flip))
            for size in settings.sizes
            for flip, way in flips.items()
        },
        content={
            flip: Encoding(f"content {settings.content_size}{way}, {names['latent']}", partial(content, flip))
            for flip, way in flips.items()
        },
    )


def _opened(what: Pictured) -> Image.Image:
    return open_picture(what) if isinstance(what, Path) else what
