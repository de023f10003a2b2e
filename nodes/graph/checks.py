"""Checks of what comes in; every error is one sentence: what came, what was expected, what to do."""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import Tensor

from ...uso_model.errors import UserError
from ...uso_model.projector import LEVELS
from ...uso_model.style import StyleFeatures
from .host_types import Model
from .model_checks import (
    ENCODER_FILE,
    PROJECTOR_FILE,
    VAE_FILE,
    block_counts,
    check_channels,
    check_content_fits,
    check_flux,
    check_given,
    check_style_fits,
    hidden_size,
)

__all__ = [
    "ProjectorSizes",
    "block_counts",
    "check_content_fits",
    "check_features",
    "check_flux",
    "check_images",
    "check_latent",
    "check_mask",
    "check_style_fits",
    "check_vae_latent",
    "check_vision",
    "hidden_size",
    "projector_sizes",
    "style_projector",
]


class ProjectorSizes(NamedTuple):
    """Sizes of a projector: `tokens_in` x `dim_in` per level to `tokens_out` x `dim_out`."""

    tokens_in: int
    tokens_out: int
    dim_in: int
    dim_out: int


def check_images(image: Tensor, role: str) -> None:
    """Check that an IMAGE is a batch of RGB pictures of more than a pixel.

    Raises:
        UserError: for an empty batch, another number of channels, a picture under 2 x 2 pixels, NaN or infinity.
    """
    if image.ndim != 4 or image.shape[0] == 0:
        raise UserError(
            f"Got an empty batch as {role} image, expected at least one picture: connect a Load Image node "
            "or check the node that makes the batch."
        )
    _, height, width, channels = image.shape
    if channels != 3:
        raise UserError(
            f"Got a {role} image with {channels} channels, expected 3 (RGB): remove its alpha channel "
            "first, for example with the Split Image with Alpha node."
        )
    if min(height, width) < 2:
        raise UserError(
            f"Got a {role} image of {width}x{height} pixels, expected a picture: use one with at least 16 "
            "pixels on each side."
        )
    _check_finite(image, f"a {role} image", "the node that makes it")


def check_mask(mask: Tensor, pictures: int | None, role: str) -> None:
    """Check that a MASK can be laid over a batch of pictures.

    Args:
        mask: `h w` or `b h w`.
        pictures: of the batch; None: any number.
        role: name for messages.

    Raises:
        UserError: if it holds nothing, neither one mask nor one per picture, or NaN or infinity.
    """
    if mask.ndim < 2 or mask.numel() == 0:
        raise UserError(
            f"Got an empty mask of shape {tuple(mask.shape)} for {role}, expected at least one pixel: check the node "
            "that makes it."
        )
    masks = mask.shape[0] if mask.ndim > 2 else 1
    if pictures is not None and masks not in (1, pictures):
        raise UserError(
            f"Got {masks} masks for {pictures} {role} images, expected one mask or one per image: make the "
            "batches equally long."
        )
    _check_finite(mask, f"a mask for {role}", "the node that makes it")


def check_vision(vision: Any) -> None:
    """Check that a CLIP_VISION is a SigLIP, the only family whose hidden layers USO's projector reads.

    Raises:
        UserError: if it is another encoder, or none.
    """
    check_given(vision, "clip_vision", f"a SigLIP vision model: load {ENCODER_FILE} with the Load CLIP Vision node")
    kind = getattr(vision, "model_type", type(vision).__name__)
    if kind != "siglip_vision_model":
        name = {"clip_vision_model": "a CLIP vision model", "siglip2_vision_model": "a SigLIP 2 vision model"}
        size = getattr(vision, "image_size", None)
        detail = f" for {size} px pictures" if size and size > 0 else ""
        raise UserError(
            f"Got {name.get(kind, kind)}{detail} as clip_vision, expected SigLIP (so400m, patch 14, 384 "
            f"px): load {ENCODER_FILE} with the Load CLIP Vision node."
        )


def style_projector(patch: Any) -> Any:
    """Return the style projector inside a MODEL_PATCH, ComfyUI's own or ours.

    Raises:
        UserError: if there is none in it.
    """
    check_given(patch, "projector", f"USO's style projector: load {PROJECTOR_FILE} with the USO Load Models node")
    model = getattr(patch, "model", None)
    if not all(hasattr(model, f"{level}_{part}") for level in LEVELS for part in ("embedding_linear", "projection")):
        raise UserError(
            f"Got a MODEL_PATCH that holds {type(model).__name__}, expected USO's style projector: load "
            f"{PROJECTOR_FILE} with the USO Load Models node."
        )
    return model


def projector_sizes(patch: Any) -> ProjectorSizes:
    """Return the sizes of the style projector inside a MODEL_PATCH.

    Raises:
        UserError: if there is none in it.
    """
    model = style_projector(patch)
    tokens_out, tokens_in = model.high_embedding_linear[0].weight.shape
    dim_out, dim_in = model.high_projection.weight.shape
    return ProjectorSizes(tokens_in, tokens_out, dim_in, dim_out)


def check_features(features: StyleFeatures, sizes: ProjectorSizes) -> None:
    """Check that a projector was made for the encoder that gave the features.

    Raises:
        UserError: if token count or width differ.
    """
    tokens, width = features.high.shape[1:]
    if (tokens, width) != (sizes.tokens_in, sizes.dim_in):
        raise UserError(
            f"Got features of {tokens} tokens x {width} from the vision model, but the projector expects "
            f"{sizes.tokens_in} x {sizes.dim_in}: load the encoder that belongs to the projector, for "
            f"FLUX.1 {ENCODER_FILE} (384 px; the 512 px SigLIP and SigLIP 2 do not fit)."
        )
    for level in features:
        _check_finite(level, "style features", f"the vision model, {ENCODER_FILE}")


def check_vae_latent(latent: Tensor, channels: int) -> None:
    """Check that a VAE gave a FLUX.1 latent `b c h w`.

    Raises:
        UserError: if it gave another number of channels or dimensions, NaN or infinity.
    """
    if latent.ndim != 4 or latent.shape[1] != channels:
        raise UserError(
            f"Got a VAE whose latents have {latent.shape[1]} channels and {latent.ndim} dimensions, "
            f"expected FLUX.1's with {channels} and 4: load {VAE_FILE} with the Load VAE node."
        )
    _check_finite(latent, "a latent from the VAE", "the VAE, which some GPUs need in float32 (--fp32-vae)")


def check_latent(latent: dict[str, Any], model: Model) -> Tensor:
    """Return a LATENT's samples if the MODEL can start from them.

    Empty latents pass with any channel count, because ComfyUI gives them the model's own.

    Raises:
        UserError: if the batch is empty, the latent is not empty and has another channel count, or it or its mask holds
            NaN or infinity.
    """
    samples = latent["samples"]
    if samples.is_nested:
        return samples
    if samples.numel() == 0:
        raise UserError(
            f"Got an empty LATENT of shape {tuple(samples.shape)}, expected at least one: check the node that makes it."
        )
    expected = model.get_model_object("latent_format").latent_channels
    if samples.shape[1] != expected and samples.count_nonzero() > 0:
        check_channels([samples.shape[1]], expected, "LATENT", VAE_FILE)
    _check_finite(samples, "a LATENT", "the node that makes it")
    if latent.get("noise_mask") is not None:
        check_mask(latent["noise_mask"], None, "the LATENT")
    return samples


def _check_finite(tensor: Tensor, what: str, where: str) -> None:
    if not tensor.isfinite().all():
        raise UserError(f"Got {what} with NaN or infinite values, expected numbers: check {where}.")
