"""The content side: subject pictures to reference latents."""

from __future__ import annotations

import comfy.model_management
import torch
from comfy_api.latest import io
from torch import Tensor

from ..uso_model.config import FLUX_AE
from ..uso_model.images import CONTENT_LONG_SIDE, fit_content_image, layout_size
from ..uso_model.packing import PIXELS_PER_TOKEN
from ..uso_model.positions import Placement
from .graph.checks import check_vae_latent
from .graph.convert import empty_latent, image_from_pil, pil_from_image
from .graph.dials import Place
from .graph.host_types import Vae
from .graph.left_out import LEFT_OUT, NOTHING_TO_SHOW, is_off, needed
from .graph.model_checks import check_given, check_vae
from .graph.pictures import visible_part
from .graph.widgets import checked_widgets
from .sockets import Content, ContentSocket, advanced, schema

__all__ = ["DRAWN_LONG_SIDE", "EncodeContent"]

DRAWN_LONG_SIDE = 1024
"""Longer side of the latent in pixels, the official pipeline's."""

FILLS = {"white": 1.0, "grey": 0.5, "black": 0.0}

SIDES: dict[str, Placement] = {"diagonal": "d", "below": "h", "beside": "w", "over": "o"}

BATCHES = ("subjects", "frames")

FURTHEST = 128
"""Largest offset in tokens of 16 pixels."""


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
                "reference image",
                "character reference",
                "layout",
                "reference latent",
                "uno",
            ],
            inputs=[
                io.Vae.Input(
                    "vae",
                    tooltip="FLUX.1's autoencoder: ae.safetensors from models/vae, or the output of USO Load Mini.",
                ),
                needed(
                    io.Image,
                    "image",
                    tooltip="Subject picture; a batch counts as several subjects. Alpha serves as mask where none is "
                    "connected.",
                ),
                io.Int.Input(
                    "long_side",
                    optional=True,
                    default=CONTENT_LONG_SIDE,
                    min=step,
                    max=2048,
                    step=step,
                    tooltip="Longer side in pixels at which the subject is read. 512 is USO's own; larger "
                    "keeps more detail and costs more time, 1024 helps with pictures of a head only.",
                ),
                io.Int.Input(
                    "latent_long_side",
                    optional=True,
                    default=DRAWN_LONG_SIDE,
                    min=0,
                    max=8192,
                    step=step,
                    tooltip="Longer side in pixels of the empty latent, which has the first picture's aspect ratio; 0: "
                    "the picture's own size.",
                ),
                io.Mask.Input("mask", optional=True, tooltip="Where the subject is; the rest is painted over."),
                io.Combo.Input(
                    "background",
                    optional=True,
                    options=list(FILLS),
                    default="white",
                    **advanced(io.Combo.Input),
                    tooltip="Colour that is painted outside the mask: white, grey or black.",
                ),
                io.Combo.Input(
                    "placement",
                    optional=True,
                    options=list(SIDES),
                    default="diagonal",
                    **advanced(io.Combo.Input),
                    tooltip="Where FLUX thinks the subject's picture lies: diagonal is USO; below, beside; over the "
                    "drawn picture, which ties places in one to the same places in the other.",
                ),
                *(
                    io.Int.Input(
                        f"{axis}_offset",
                        optional=True,
                        default=0,
                        min=-FURTHEST,
                        max=FURTHEST,
                        **advanced(io.Int.Input),
                        tooltip=f"Moves that place by so many tokens of {step} pixels {way}.",
                    )
                    for axis, way in (("row", "down"), ("column", "to the right"))
                ),
                io.Combo.Input(
                    "batch",
                    optional=True,
                    options=list(BATCHES),
                    default=BATCHES[0],
                    **advanced(io.Combo.Input),
                    tooltip="What a batch of pictures is: several subjects in every drawn picture, or the frames of an "
                    "animation, one for each drawn picture.",
                ),
                io.Combo.Input(
                    "size_rule",
                    optional=True,
                    options=list(CANVASES),
                    default="official",
                    **advanced(io.Combo.Input),
                    tooltip="How the latent gets its size. official: aspect ratio of the picture as the VAE sees it, "
                    "sides cut down to multiples of 16; nearest: that of the picture itself, sides rounded to them.",
                ),
            ],
            outputs=[
                ContentSocket.Output(display_name="content", tooltip="Subject latents for USO Apply."),
                io.Latent.Output(
                    display_name="latent",
                    tooltip="Empty latent in the aspect ratio of the first picture, one for each frame.",
                ),
                io.Image.Output(display_name="seen", tooltip="The first picture as the VAE sees it."),
            ],
        )

    @classmethod
    @checked_widgets
    def execute(
        cls,
        vae: Vae,
        image: Tensor = LEFT_OUT,
        long_side: int = CONTENT_LONG_SIDE,
        latent_long_side: int = DRAWN_LONG_SIDE,
        mask: Tensor | None = None,
        background: str = "white",
        placement: str = "diagonal",
        row_offset: int = 0,
        column_offset: int = 0,
        batch: str = BATCHES[0],
        size_rule: str = "nearest",  # what graphs have that were saved before this input
    ) -> io.NodeOutput:
        """Return one latent per picture, an empty latent to start from, and what the VAE sees of the first.

        Where the picture is left out, there is no content, and the latent is a square.
        """
        device = comfy.model_management.intermediate_device()
        if is_off(image=image):
            side = latent_long_side or long_side
            return io.NodeOutput(None, empty_latent(side, side, FLUX_AE.z_channels, device), NOTHING_TO_SHOW)
        check_vae(vae)
        check_given(image, "image", "a subject picture: connect a Load Image node")
        pictures = visible_part(image, mask, "content", FILLS[background])
        seen = [image_from_pil(fit_content_image(pil_from_image(picture), long_side)) for picture in pictures]
        latents = tuple(vae.encode(picture) for picture in seen)
        for latent in latents:
            check_vae_latent(latent, FLUX_AE.z_channels)
        frames = len(latents) if batch == "frames" else 1
        place = Place(SIDES[placement], row_offset, column_offset)
        content = Content(
            latents=(torch.cat(latents),) if frames > 1 else latents, place=None if place == Place() else place
        )
        height, width = pictures.shape[1:3]
        canvas = CANVASES[size_rule](width, height, latent_long_side, long_side)
        return io.NodeOutput(content, empty_latent(*canvas, FLUX_AE.z_channels, device, frames), seen[0])


def _official_canvas(width: int, height: int, drawn: int, long_side: int) -> tuple[int, int]:
    """Return the official size; a picture's own is cut down to multiples of 16, as the official pipeline does."""
    if drawn:
        return layout_size(width, height, drawn, long_side)
    return _floored(width), _floored(height)


def _nearest_canvas(width: int, height: int, drawn: int, long_side: int) -> tuple[int, int]:
    """Return the size with the picture's aspect ratio, both sides rounded to a multiple of 16 and at least 16."""
    scale = drawn / max(width, height) if drawn else 1.0
    w, h = (
        max(PIXELS_PER_TOKEN, round(side * scale / PIXELS_PER_TOKEN) * PIXELS_PER_TOKEN) for side in (width, height)
    )
    return w, h


def _floored(side: int) -> int:
    return max(PIXELS_PER_TOKEN, side // PIXELS_PER_TOKEN * PIXELS_PER_TOKEN)


CANVASES = {"official": _official_canvas, "nearest": _nearest_canvas}
"""Size rules: functions of width, height, `latent_long_side` and `long_side`."""
