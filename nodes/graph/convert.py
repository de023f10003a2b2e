"""The one place where ComfyUI's tensors change shape: IMAGE `b h w c` in 0..1, MASK `b h w`, PIL pictures."""

from __future__ import annotations

import numpy
import torch
from PIL import Image
from torch import Tensor

from ...uso_model.packing import PIXELS_PER_LATENT

__all__ = [
    "empty_latent",
    "filled_outside",
    "image_from_pil",
    "image_to_planes",
    "latent_pixels",
    "pil_from_image",
    "planes_to_image",
]

MID_GREY = 0.5


def image_to_planes(image: Tensor) -> Tensor:
    """Turn `b h w c` in 0..1 into `b c h w` in 0..1."""
    return image.movedim(-1, 1)


def planes_to_image(planes: Tensor) -> Tensor:
    """Turn `b c h w` in 0..1 into `b h w c` in 0..1."""
    return planes.movedim(1, -1)


def pil_from_image(image: Tensor) -> Image.Image:
    """Turn one `h w 3` picture in 0..1 into an 8-bit PIL picture, undoing the division by 255 exactly."""
    return Image.fromarray((image.detach().float().cpu().clamp(0, 1) * 255).round().to(torch.uint8).numpy())


def image_from_pil(picture: Image.Image) -> Tensor:
    """Turn a PIL picture into `1 h w 3` in 0..1."""
    return torch.from_numpy(numpy.asarray(picture.convert("RGB"), dtype=numpy.float32) / 255)[None]


def filled_outside(image: Tensor, mask: Tensor, grey: float = MID_GREY) -> Tensor:
    """Fade `b h w c` to a grey where the mask is 0; mid-grey is zero after SigLIP's normalisation.

    A mask of another size is resized, one mask serves all pictures.
    """
    mask = mask.to(image).reshape(-1, 1, *mask.shape[-2:])  # b 1 h w
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
