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
    check_channels,
    check_given,
)
from .pictures import check_finite

__all__ = [
    "ProjectorSizes",
    "check_features",
    "check_latent",
    "check_vae_latent",
    "check_vision",
    "projector_sizes",
    "style_projector",
]


class ProjectorSizes(NamedTuple):
    """Sizes of a projector: `tokens_in` x `dim_in` per level to `tokens_out` x `dim_out`."""

    tokens_in: int
    tokens_out: int
    dim_in: int
    dim_out: int


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
        check_finite(level, "style features", f"the vision model, {ENCODER_FILE}")


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
    check_finite(latent, "a latent from the VAE", "the VAE, which some GPUs need in float32 (--fp32-vae)")


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
    check_finite(samples, "a LATENT", "the node that makes it")
    if latent.get("noise_mask") is not None:
        _check_noise_mask(latent["noise_mask"])
    return samples


def _check_noise_mask(mask: Tensor) -> None:
    if mask.ndim < 2 or mask.numel() == 0:
        raise UserError(
            f"Got an empty mask of shape {tuple(mask.shape)} for the LATENT, expected at least one pixel: check the "
            "node that makes it."
        )
    check_finite(mask, "a mask for the LATENT", "the node that makes it")
