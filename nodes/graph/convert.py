"""The one place where ComfyUI's tensors change form: IMAGE `b h w c` in 0..1, MASK `b h w`, PIL pictures."""

from __future__ import annotations

from typing import Any

import numpy
import torch
from PIL import Image
from torch import Tensor

from ...uso_model.packing import PIXELS_PER_LATENT

__all__ = [
    "MID_GREY",
    "empty_latent",
    "filled_outside",
    "image_from_bytes",
    "image_from_pil",
    "latent_pixels",
    "pil_from_image",
    "rgb_and_alpha",
]

MID_GREY = 0.5


def rgb_and_alpha(image: Tensor) -> tuple[Tensor, Tensor | None]:
    """Return colours `b h w 3` and alpha `b h w` (1: keep; None: there is none) of `b h w c` in RGB, RGBA or grey.

    Both are float32 in 0..1, whatever precision came in; bytes are divided by 255.
    """
    if image.dtype == torch.uint8:
        image = image.float() / 255
    elif image.dtype != torch.float64:  # whose largest values float32 cannot hold
        image = image.float()
    image = image.clamp(0, 1).float()
    return image[..., :3].expand(*image.shape[:-1], 3), image[..., 3] if image.shape[-1] == 4 else None


def pil_from_image(image: Tensor) -> Image.Image:
    """Turn one `h w c` picture in 0..1 into an 8-bit RGB PIL picture, undoing the division by 255 exactly."""
    rgb, _ = rgb_and_alpha(image.detach().cpu())
    return Image.fromarray((rgb * 255).round().to(torch.uint8).numpy())


def image_from_bytes(pixels: numpy.ndarray[Any, Any]) -> Tensor:
    """Turn uint8 pixels `h w 3` into `1 h w 3` in 0..1."""
    return torch.from_numpy(pixels.astype(numpy.float32) / 255)[None]


def image_from_pil(picture: Image.Image) -> Tensor:
    """Turn a PIL picture into `1 h w 3` in 0..1."""
    return image_from_bytes(numpy.asarray(picture.convert("RGB")))


def filled_outside(image: Tensor, mask: Tensor, grey: float = MID_GREY) -> Tensor:
    """Fade `b h w c` to a grey where the mask `b h w` is 0; mid-grey is zero after SigLIP's normalisation.

    A mask of another size is resized, one mask serves all pictures.
    """
    mask = mask.to(image)[:, None]  # b 1 h w
    if mask.shape[-2:] != image.shape[1:3]:
        mask = torch.nn.functional.interpolate(mask, size=image.shape[1:3], mode="bilinear", antialias=True)
    weight = mask.movedim(1, -1).clamp(0, 1)
    return image * weight + grey * (1 - weight)


def empty_latent(
    width: int, height: int, channels: int, device: torch.device, count: int = 1
) -> dict[str, Tensor | int]:
    """Return an empty LATENT for `count` pictures of `width` x `height` pixels."""
    samples = torch.zeros(count, channels, height // PIXELS_PER_LATENT, width // PIXELS_PER_LATENT, device=device)
    return {"samples": samples, "downscale_ratio_spacial": PIXELS_PER_LATENT}


def latent_pixels(samples: Tensor) -> tuple[int, int]:
    """Return the (width, height) in pixels of a latent `b c h w`."""
    return samples.shape[-1] * PIXELS_PER_LATENT, samples.shape[-2] * PIXELS_PER_LATENT
