"""Checks of the models that come in; every error is one sentence: what came, what was expected, what to do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import comfy.lora
import comfy.model_base
from torch import Tensor

from ...uso_model.errors import UserError
from ..sockets import Content
from .host_types import Model

__all__ = [
    "ENCODER_FILE",
    "FLUX_FILE",
    "LORA_FILE",
    "PROJECTOR_FILE",
    "VAE_FILE",
    "block_counts",
    "check_channels",
    "check_content_fits",
    "check_flux",
    "check_given",
    "check_style_fits",
    "check_vae",
    "hidden_size",
]

ENCODER_FILE = "sigclip_vision_patch14_384.safetensors (models/clip_vision)"
PROJECTOR_FILE = "uso-flux1-projector-v1.safetensors (models/model_patches)"
LORA_FILE = "uso-flux1-dit-lora-v1.safetensors (models/loras)"
FLUX_FILE = "flux1-dev.safetensors (models/diffusion_models)"
VAE_FILE = "ae.safetensors (models/vae)"

_OTHER_FLUX = ("Flux2", "Chroma", "LongCatImage")
_AXES = 3
_FIRST_LAYER = "diffusion_model.img_in.weight"
_RELATIVES = {2: "FLUX.1 Canny, Depth or another that reads a control picture", 6: "FLUX.1 Fill"}
"""What reads so many times FLUX.1's values for each token."""


def check_given(value: Any, name: str, expected: str) -> None:
    """Check that something came over a link: ComfyUI's loaders hand None on for what a file does not hold.

    Raises:
        UserError: if it is None.
    """
    if value is None:
        raise UserError(f"Got nothing as {name}, which the file or node before does not have, expected {expected}.")


def check_vae(vae: Any) -> None:
    """Check that there is a VAE.

    Raises:
        UserError: if it is None.
    """
    check_given(vae, "vae", f"FLUX.1's autoencoder: load {VAE_FILE} with the Load VAE node")


def check_flux(model: Model) -> None:
    """Check that a MODEL is FLUX.1.

    Raises:
        UserError: if the MODEL is anything else, FLUX.2 and Chroma included, or None.
    """
    load = f"load {FLUX_FILE} with the Load Diffusion Model node"
    check_given(model, "model", f"FLUX.1: {load}")
    base = getattr(model, "model", None)
    others = tuple(getattr(comfy.model_base, name) for name in _OTHER_FLUX if hasattr(comfy.model_base, name))
    params = getattr(getattr(base, "diffusion_model", None), "params", None)
    is_flux1 = (
        isinstance(base, comfy.model_base.Flux)
        and not isinstance(base, others)
        and len(getattr(params, "axes_dim", ())) == _AXES
        and not getattr(params, "global_modulation", False)
        and getattr(params, "vec_in_dim", None) is not None
    )
    if not is_flux1:
        raise UserError(
            f"Got a MODEL of type {type(base).__name__}, expected FLUX.1 (dev, schnell or one tuned from them): {load}."
        )


def hidden_size(model: Model) -> int:
    """Return the width of a FLUX.1 MODEL."""
    return model.model.diffusion_model.params.hidden_size


def block_counts(model: Model) -> tuple[int, int]:
    """Return the numbers of double and single blocks of a FLUX.1 MODEL."""
    network = model.model.diffusion_model
    return len(network.double_blocks), len(network.single_blocks)


def check_style_fits(tokens: Tensor, model: Model) -> None:
    """Check that style tokens `1 L D` have the MODEL's width.

    Raises:
        UserError: if they have not.
    """
    width, expected = tokens.shape[-1], hidden_size(model)
    if width != expected:
        raise UserError(
            f"Got style tokens of width {width} for a MODEL of width {expected}, expected equal widths: "
            f"use the projector trained for this model, for FLUX.1 {PROJECTOR_FILE}."
        )


def check_content_fits(content: Content, model: Model) -> None:
    """Check that a MODEL reads content latents, and as many channels as they have.

    Raises:
        UserError: if the first layer reads more than a latent, as FLUX.1 Fill's does, or the channels differ.
    """
    expected = model.get_model_object("latent_format").latent_channels
    read, latent = _first_layer(model), expected * model.model.diffusion_model.patch_size**2
    if read is not None and read != latent:
        name = _RELATIVES.get(read // latent, "a relative of FLUX.1")
        raise UserError(
            f"Got {name} as model (its first layer reads {read} values of each token) with a subject, expected one "
            f"that reads {latent} (dev, schnell, Kontext, Krea): use such a model, or the style without the subject."
        )
    check_channels([part.shape[1] for part in content.latents], expected, "content", VAE_FILE)


def check_channels(found: Sequence[int], expected: int, role: str, file: str) -> None:
    """Check that latents have FLUX.1's channels.

    Raises:
        UserError: if one has not.
    """
    wrong = sorted({channels for channels in found if channels != expected})
    if wrong:
        raise UserError(
            f"Got a {role} latent with {wrong[0]} channels, expected {expected}: encode the image with "
            f"FLUX.1's VAE, {file}."
        )


def _first_layer(model: Model) -> int | None:
    """Return how many values of each token the first layer reads, with the LoRAs that widen it; None if untold."""
    layer = model.model.diffusion_model.img_in
    patches = getattr(model, "patches", {}).get(_FIRST_LAYER, [])
    shape = comfy.lora.calculate_shape(patches, layer.weight, _FIRST_LAYER) if patches else None
    return getattr(layer, "in_features", None) if shape is None else shape[-1]
