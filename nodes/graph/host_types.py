"""The few types of ComfyUI that the nodes touch, as far as they touch them: ComfyUI itself ships no types.

What its own code is imported from stays unchecked; what passes through ours is held to these.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, Protocol

import torch
from torch import Tensor

__all__ = ["ClipVision", "Guider", "Model", "ModelPatch", "Vae"]


class Model(Protocol):
    """A MODEL: ComfyUI's ModelPatcher around a diffusion model."""

    model: Any
    """The diffusion model with its sampling, a comfy.model_base.BaseModel."""
    model_options: dict[str, Any]
    patches: dict[str, list[tuple[Any, ...]]]
    """By weight: strength, LoRA or other change, strength of the weight itself, part of the weight, and a function."""
    load_device: torch.device
    patches_uuid: Hashable
    """Changes with the patches, and is the same on clones that have the same ones."""
    injections: dict[str, list[Any]]
    """What wraps layers while the network is loaded."""
    object_patches: dict[str, Any]
    """Parts of the diffusion model that are exchanged, by name."""

    def clone(self) -> Model:
        """Return a MODEL of the same weights that can be patched apart from this one."""

    def get_model_object(self, name: str) -> Any:
        """Return a part of the diffusion model, as patched."""

    def get_wrappers(self, wrapper_type: str, key: str) -> list[Callable[..., Any]]:
        """Return the wrappers that are filed under a key."""

    def add_wrapper_with_key(self, wrapper_type: str, key: str, wrapper: Callable[..., Any]) -> None:
        """File a wrapper under a key."""

    def add_patches(self, patches: dict[Any, Any], strength_patch: float) -> list[Any]:
        """Add weights, such as a LoRA's, and return the keys that were taken."""

    def get_combined_hook_patches(self, hooks: Any) -> dict[str, list[tuple[Any, ...]]]:
        """Return the patches that hooks of a conditioning add, as in `patches`."""


class Guider(Protocol):
    """What runs the sampler."""

    model_patcher: Model
    model_options: dict[str, Any]
    conds: dict[str, list[dict[str, Any]]]


class ModelPatch(Protocol):
    """A MODEL_PATCH: ComfyUI's ModelPatcher around some other network."""

    model: Any
    load_device: torch.device


class Vae(Protocol):
    """A VAE."""

    def encode(self, pixel_samples: Tensor) -> Tensor:
        """Return the latent `1 c h w` of pictures `1 h w 3` in 0..1."""


class ClipVision(Protocol):
    """A CLIP_VISION."""

    load_device: torch.device
    image_size: int

    def encode_image(self, image: Tensor, crop: bool) -> Any:
        """Return the hidden states of pictures `b h w 3` in 0..1."""
