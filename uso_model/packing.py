"""Latents to tokens and back: 2x2 latent pixels make one token."""

from __future__ import annotations

from typing import TYPE_CHECKING

from einops import rearrange

from .config import FLUX_AE
from .errors import UserError

if TYPE_CHECKING:  # sizes in tokens are asked for where torch is not
    from torch import Tensor

__all__ = ["PATCH", "PIXELS_PER_LATENT", "PIXELS_PER_TOKEN", "pack", "token_grid", "unpack"]

PATCH = 2
"""Latent pixels per token along one side."""

PIXELS_PER_LATENT = FLUX_AE.downscale
"""Picture pixels per latent pixel along one side: 8."""

PIXELS_PER_TOKEN = PIXELS_PER_LATENT * PATCH
"""Picture pixels per token along one side: 16."""


def token_grid(latent: Tensor) -> tuple[int, int]:
    """Return rows and columns of the token grid of a latent `b c h w`.

    Raises:
        UserError: an odd height or width.
    """
    height, width = latent.shape[-2:]
    if height % PATCH or width % PATCH:
        raise UserError(
            f"a latent of {height}x{width} can't be cut into {PATCH}x{PATCH} tokens; make the picture a multiple of 16"
        )
    return height // PATCH, width // PATCH


def pack(latent: Tensor) -> Tensor:
    """Return the tokens of a latent: `b c h w` -> `B L 4c`, channel-major inside a token."""
    token_grid(latent)
    return rearrange(latent, "b c (h ph) (w pw) -> b (h w) (c ph pw)", ph=PATCH, pw=PATCH)


def unpack(tokens: Tensor, rows: int, columns: int) -> Tensor:
    """Return the latent of tokens on a grid of `rows` x `columns`: `B L 4c` -> `b c 2*rows 2*columns`."""
    return rearrange(tokens, "b (h w) (c ph pw) -> b c (h ph) (w pw)", h=rows, w=columns, ph=PATCH, pw=PATCH)
