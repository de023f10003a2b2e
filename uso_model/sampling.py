"""From noise to latent: the Euler loop over a callable, and the callable that USO makes of its inputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .packing import pack, token_grid, unpack
from .positions import Placement, image_ids, reference_ids, text_ids
from .transformer import UsoTransformer

__all__ = ["Conditioning", "euler", "guided", "reference_tokens", "velocity"]


@dataclass(frozen=True, kw_only=True)
class Conditioning:
    """Everything but the noise: text, and references that may be absent."""

    txt: Tensor
    """Text tokens, `B L context_in_dim`."""
    vec: Tensor
    """Pooled text, `B vec_in_dim`."""
    style: Tensor | None = None
    """Style tokens of all style references, `B S D`."""
    content: Sequence[Tensor] = ()
    """Latents of the content references, each `b c h w` in model scale."""
    guidance: float | Tensor = 4.0
    """Distilled guidance, one for all or `B`."""
    placement: Placement = "d"
    isolated: bool = False
    """Whether references see only themselves; see `isolation`."""


def reference_tokens(
    latents: Sequence[Tensor], target: tuple[int, int], placement: Placement = "d"
) -> tuple[list[Tensor], list[Tensor]]:
    """Return packed tokens and ids of content latents behind a target grid of rows and columns."""
    ids = reference_ids(target, [token_grid(latent) for latent in latents], placement)
    return [pack(latent) for latent in latents], [
        part.to(latent.device) for part, latent in zip(ids, latents, strict=True)
    ]


def velocity(model: UsoTransformer, conditioning: Conditioning) -> Callable[[Tensor, Tensor], Tensor]:
    """Return the function `(x, t) -> v` of latents `b c h w` and times `b` that the Euler loop integrates."""

    def of(x: Tensor, t: Tensor) -> Tensor:
        grid = token_grid(x)
        refs, ref_ids = reference_tokens(conditioning.content, grid, conditioning.placement)
        tokens = model(
            img=pack(x),
            img_ids=image_ids(*grid).to(x.device),
            txt=conditioning.txt,
            txt_ids=text_ids(conditioning.txt.shape[1]).to(x.device),
            timesteps=t.to(x.dtype),
            y=conditioning.vec,
            guidance=torch.as_tensor(conditioning.guidance, dtype=x.dtype, device=x.device).expand(x.shape[0]),
            style=conditioning.style,
            refs=refs,
            ref_ids=ref_ids,
            isolated=conditioning.isolated,
        )
        return unpack(tokens, *grid)

    return of


def guided(
    positive: Callable[[Tensor, Tensor], Tensor], negative: Callable[[Tensor, Tensor], Tensor], cfg: float
) -> Callable[[Tensor, Tensor], Tensor]:
    """Return the velocity under classifier-free guidance: `negative + cfg * (positive - negative)`, in float32.

    Source: Ho and Salimans, "Classifier-Free Diffusion Guidance", eq. 6, with cfg = w + 1.
    """

    def of(x: Tensor, t: Tensor) -> Tensor:
        away = negative(x, t).float()
        return away + cfg * (positive(x, t).float() - away)

    return of


def euler(
    v: Callable[[Tensor, Tensor], Tensor],
    x: Tensor,
    times: Tensor,
    callback: Callable[[int, Tensor], None] | None = None,
) -> Tensor:
    """Integrate `dx/dt = v(x, t)` along falling times with Euler's method.

    Args:
        v: velocity of `x` (`b ...`) at times `b`.
        x: noise at `times[0]`.
        times: falling times, `steps + 1`.
        callback: called after each step with its number and the new `x`.

    Returns:
        `x` at `times[-1]`.
    """
    for step, (now, then) in enumerate(zip(times[:-1].tolist(), times[1:].tolist(), strict=True)):
        x = x + (then - now) * v(x, torch.full((x.shape[0],), now, dtype=torch.float32, device=x.device))
        if callback is not None:
            callback(step, x)
    return x
