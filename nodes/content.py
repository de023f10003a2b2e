"""The content side: subject pictures to reference latents."""

from __future__ import annotations

from typing import Any

import comfy.model_management
from comfy_api.latest import io
from torch import Tensor

from ..uso_model.images import CONTENT_LONG_SIDE, fit_content_image
from ..uso_model.packing import PIXELS_PER_TOKEN
from .checks import check_images, check_vae_latent
from .convert import empty_latent, image_from_pil, pil_from_image
from .sockets import Content, ContentSocket, schema

__all__ = ["EncodeContent"]

CHANNELS = 16
"""Latent channels of FLUX.1's autoencoder."""


class EncodeContent(io.ComfyNode):
    """Encode subject pictures as USO's reference pipeline does."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Describe the node."""
        step = PIXELS_PER_TOKEN
        return schema(
            node_id="USO_EncodeContent",
            display_name="USO Encode Content",
            description="Encodes the subject of one or more pictures with the VAE, resized as in the "
            "official USO code (long side 512, both sides cropped to a multiple of 16).",
            search_aliases=[
                "subject",
                "identity",
                "reference image",
                "character reference",
                "face",
                "layout",
                "reference latent",
                "uno",
            ],
            inputs=[
                io.Vae.Input(
                    "vae",
                    tooltip="FLUX.1's autoencoder: ae.safetensors from models/vae, or the output of USO Load Mini.",
                ),
                io.Image.Input("image", tooltip="Subject picture; a batch counts as several subjects."),
                io.Int.Input(
                    "long_side",
                    default=CONTENT_LONG_SIDE,
                    min=step,
                    max=2048,
                    step=step,
                    tooltip="Longer side in pixels at which the subject is read. 512 is USO's own; larger "
                    "keeps more detail and costs more time, 1024 helps with pictures of a head only.",
                ),
                io.Int.Input(
                    "latent_long_side",
                    default=1024,
                    min=step,
                    max=8192,
                    step=step,
                    tooltip="Longer side in pixels of the empty latent, which has the first picture's aspect ratio.",
                ),
            ],
            outputs=[
                ContentSocket.Output(display_name="content", tooltip="Subject latents for USO Apply."),
                io.Latent.Output(
                    display_name="latent", tooltip="Empty latent in the aspect ratio of the first picture."
                ),
            ],
        )

    @classmethod
    def execute(cls, vae: Any, image: Tensor, long_side: int, latent_long_side: int) -> io.NodeOutput:
        """Return one latent per picture, and an empty latent to start from."""
        check_images(image, "content")
        latents = tuple(
            vae.encode(image_from_pil(fit_content_image(pil_from_image(picture), long_side))) for picture in image
        )
        check_vae_latent(latents[0], CHANNELS)
        width, height = _canvas(image.shape[2], image.shape[1], latent_long_side)
        device = comfy.model_management.intermediate_device()
        return io.NodeOutput(Content(latents=latents), empty_latent(width, height, CHANNELS, device))


def _canvas(width: int, height: int, long_side: int) -> tuple[int, int]:
    """Return the size with the given aspect ratio, both sides rounded to a multiple of 16 and at least 16."""
    scale = long_side / max(width, height)
    w, h = (
        max(PIXELS_PER_TOKEN, round(side * scale / PIXELS_PER_TOKEN) * PIXELS_PER_TOKEN) for side in (width, height)
    )
    return w, h
