"""What the trainer asks of its encoders, whichever files they come from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from PIL import Image
from torch import Tensor

from ...uso_model.style import StyleFeatures
from ..recipe import Against

__all__ = ["CountTokens", "Encoders", "Gaussian", "PictureJudge"]

CountTokens = Callable[[str], Mapping[str, tuple[int, int]]]
"""Tokens that a prompt has and tokens that are read, by the name of the text encoder."""


class Gaussian(NamedTuple):
    """A latent as the autoencoder gives it, in model scale (after its shift and factor)."""

    mean: Tensor
    """`c h w`."""
    logvar: Tensor | None
    """`c h w`; None for an autoencoder without one."""

    def sample(self, generator: torch.Generator) -> Tensor:
        """Draw a latent `c h w`, as UNO's training does for targets and references (bytedance/UNO, train.py)."""
        if self.logvar is None:
            return self.mean
        return self.mean + torch.exp(0.5 * self.logvar) * torch.randn(self.mean.shape, generator=generator)


class PictureJudge(NamedTuple):
    """A judge whose likeness is a reward, or is measured on samples; see `uso_model/judging/judge.py`."""

    embed: Callable[[Tensor], Tensor]
    """Pictures `b 3 h w` in -1..1 to unit vectors `b D` on the same device, with a gradient."""
    against: Against
    """References that a picture is compared with."""
    name: str | None
    """Fingerprint, part of the cache's keys."""


@dataclass(frozen=True)
class Encoders:
    """The frozen encoders of a run. Results lie on the CPU in float32, except those of `decode` and the judges."""

    latent: Callable[[Image.Image], Gaussian]
    """RGB picture whose sides are multiples of 16 to its latent."""
    style: Callable[[Image.Image], StyleFeatures]
    """RGB picture to style features, each level `N C`."""
    text: Callable[[str], tuple[Tensor, Tensor]]
    """Prompt to text tokens `L D` and pooled text `D`."""
    decode: Callable[[Tensor], Tensor]
    """Latents `b c h w` in model scale to pictures `b 3 8h 8w` about -1..1 on the same device, with a gradient."""
    judges: Mapping[str, PictureJudge]
    """Those that the recipe names, and those that its family brings."""
    names: dict[str, str]
    """Fingerprint of `latent`, `style` and `text`, part of the cache's keys."""
    release: Callable[[], None]
    """Give back the memory of all of them; a later call loads again."""
