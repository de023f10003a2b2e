"""USO-mini as stock ComfyUI models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import comfy.clip_vision
import comfy.model_management
import comfy.model_patcher
import comfy.sd
import torch
from torch import Tensor, nn

from ...mini.model import (
    PICTURE_SIZE,
    MiniAutoencoder,
    load_autoencoder,
    missing_files,
    weight_files,
)
from ...uso_model.checkpoints.files import read_safetensors
from ...uso_model.errors import UserError
from ...uso_model.packing import PIXELS_PER_LATENT
from .checks import projector_sizes
from .folders import BUNDLED
from .mini_size import with_size_check
from .mini_text import mini_clip
from .model_files import LoraFile, ProjectorFile, find
from .projector_patch import projector_patch
from .trained_lora import with_lora_file

__all__ = ["host_models"]

BYTES_PER_PIXEL = 4 * (2 * 3 + 4 * 64 // 16)
"""Memory of the autoencoder in float32: two pictures, and four maps of 64 channels at a quarter of the side."""

STATES = (*[1] * 8, *[3] * 9, *[4] * 9, 5)
"""For each of SigLIP's 27 hidden states, the one of the miniature's six that stands for it."""

_FOR_MINI = "choose bundled, or one that the trainer has written for USO-mini"


def host_models(
    lora_strength: float, lora_blocks: str, lora: str = BUNDLED, projector: str = BUNDLED
) -> tuple[Any, Any, Any, Any, Any]:
    """Return MODEL, CLIP, VAE, CLIP_VISION and MODEL_PATCH.

    Args:
        lora_strength: of the USO LoRA; 0 leaves it out.
        lora_blocks: factors on the strength in single blocks.
        lora: file in models/loras instead of the bundled one.
        projector: file in models/model_patches instead of the bundled one.

    Raises:
        UserError: if files are missing or do not fit, or the blocks cannot be read.
    """
    files = _files()
    model = with_size_check(_diffusion_model(files["flux"]))
    patch = projector_patch(_weights(files["projector"]), files["projector"].name)
    sizes = projector_sizes(patch)
    if lora_strength != 0:
        name, path = files["lora"].name, str(files["lora"])
        if lora != BUNDLED:
            name, path, *_ = find(LoraFile(sizes.dim_out, instead=_FOR_MINI), lora)
        expected = f"a LoRA for USO-mini: {_FOR_MINI}"
        model = with_lora_file(model, path, lora_strength, name, lora_blocks, expected)
    if projector != BUNDLED:
        wanted = ProjectorFile(sizes.dim_out, sizes, _FOR_MINI)
        name, path, *_ = find(wanted, projector)
        patch = projector_patch(_weights(Path(path)), name)
    return model, mini_clip(), _vae(), _vision(files["vision"], files["vision_config"]), patch


def _files() -> dict[str, Path]:
    """Return the bundled files.

    Raises:
        UserError: if some are missing.
    """
    if absent := missing_files():
        raise UserError(
            f"Got a pack without {', '.join(absent)}, expected them in its folder mini/weights: install the pack again."
        )
    return weight_files()


def _weights(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a file in float32.

    The files are stored in half precision; float32 keeps the host equal to the reference code and costs
    next to nothing at this size.
    """
    return {name: tensor.float() for name, tensor in read_safetensors(path).items()}


def _diffusion_model(path: Path, disable_dynamic: bool = False) -> Any:
    options = {"disable_dynamic": True} if disable_dynamic else {}
    model = comfy.sd.load_diffusion_model_state_dict(_weights(path), {"dtype": torch.float32}, **options)
    # ComfyUI builds further copies with this, for several GPUs and for torch.compile.
    model.cached_patcher_init = (_diffusion_model, (path,))
    return model


class MiniClipVision(comfy.clip_vision.ClipVisionModel):
    """Give as many hidden states as SigLIP, whose last 20 ComfyUI's own USO node reads by their numbers."""

    def encode_image(self, image: Tensor, crop: bool = True) -> Any:
        """Return what ComfyUI's class does, with 27 hidden states."""
        output = super().encode_image(image, crop)
        output["all_hidden_states"] = output["all_hidden_states"][:, STATES]
        return output


class MiniHostAutoencoder(nn.Module):
    """Wrap the miniature's autoencoder in the interface ComfyUI's VAE expects: latents before FLUX.1's scale."""

    def __init__(self, autoencoder: MiniAutoencoder):
        super().__init__()
        self.autoencoder = autoencoder

    def encode(self, x: Tensor) -> Tensor:
        """Return the latent `b 16 h/8 w/8` of pictures `b 3 h w` in -1..1."""
        return self.autoencoder.encode_unscaled(x)

    def decode(self, z: Tensor) -> Tensor:
        """Return the pictures of a latent."""
        return self.autoencoder.decode_unscaled(z)


def _vae() -> Any:
    """Build ComfyUI's VAE around our autoencoder; ComfyUI itself knows only the architectures of published files."""
    vae = comfy.sd.VAE(sd={"pixel_space_vae": torch.tensor(1.0)}, dtype=torch.float32)  # the smallest shell there is
    vae.first_stage_model = MiniHostAutoencoder(load_autoencoder())
    vae.uso_picture_size = PICTURE_SIZE  # at which USO Subject Reference reads and draws
    vae.latent_channels = vae.first_stage_model.autoencoder.channels
    vae.downscale_ratio = vae.upscale_ratio = PIXELS_PER_LATENT
    vae.memory_used_encode = lambda shape, dtype: BYTES_PER_PIXEL * shape[2] * shape[3]
    vae.memory_used_decode = lambda shape, dtype: BYTES_PER_PIXEL * shape[2] * shape[3] * PIXELS_PER_LATENT**2
    vae.patcher = comfy.model_patcher.ModelPatcher(
        vae.first_stage_model, load_device=vae.device, offload_device=comfy.model_management.vae_offload_device()
    )
    vae.size = comfy.model_management.module_size(vae.first_stage_model)
    return vae


def _vision(path: Path, config: Path) -> Any:
    vision = MiniClipVision(str(config))
    vision.model.to(torch.float32)
    missing, unknown = vision.load_sd(_weights(path))
    if missing or unknown:
        raise UserError(
            f"{path.name} does not fit {config.name} ({len(missing)} weights missing, {len(unknown)} "
            "unknown): restore both files of the pack."
        )
    return vision
