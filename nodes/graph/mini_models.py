"""USO-mini as stock ComfyUI models."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import comfy.clip_vision
import comfy.model_management
import comfy.model_patcher
import comfy.sd
import comfy.supported_models_base
import torch
from torch import Tensor, nn

from ...mini.model import (
    PICTURE_SIZE,
    MiniAutoencoder,
    MiniTokenizer,
    load_autoencoder,
    load_text,
    missing_files,
    weight_files,
)
from ...uso_model.checkpoints.files import read_safetensors
from ...uso_model.errors import UserError
from ...uso_model.packing import PIXELS_PER_LATENT
from .lora import with_lora
from .projector_patch import projector_patch

__all__ = ["MiniClipModel", "MiniClipTokenizer", "host_models"]

BYTES_PER_PIXEL = 4 * (2 * 3 + 4 * 64 // 16)
"""Memory of the autoencoder in float32: two pictures, and four maps of 64 channels at a quarter of the side."""

TEXT = "uso_mini"
"""Name of the only text encoder in the token dictionary."""


def host_models(lora_strength: float, lora_blocks: str) -> tuple[Any, Any, Any, Any, Any]:
    """Return MODEL, CLIP, VAE, CLIP_VISION and MODEL_PATCH.

    Args:
        lora_strength: of the USO LoRA; 0 leaves it out.
        lora_blocks: factors on the strength in single blocks.

    Raises:
        UserError: if files are missing or do not fit, or the blocks cannot be read.
    """
    files = _files()
    model = _diffusion_model(files["flux"])
    if lora_strength != 0:
        model = with_lora(model, read_safetensors(files["lora"]), lora_strength, files["lora"].name, lora_blocks)
    projector = projector_patch(_weights(files["projector"]), files["projector"].name)
    return model, _clip(), _vae(), _vision(files["vision"], files["vision_config"]), projector


class MiniClipTokenizer:
    """Turn a prompt into the token dictionary ComfyUI passes around."""

    def __init__(self, tokenizer: MiniTokenizer, embedding_directory: Any = None, tokenizer_data: Any = None):
        """Wrap a tokenizer; ComfyUI's own two arguments are for embeddings, which the mini has not."""
        self.tokenizer = tokenizer

    def tokenize_with_weights(
        self, text: str, return_word_ids: bool = False, **options: Any
    ) -> dict[str, list[list[tuple[Any, ...]]]]:
        """Return one row of (id, weight) pairs; prompt weights are not supported and stay 1."""
        row = [
            (number, 1.0, place) if return_word_ids else (number, 1.0)
            for place, number in enumerate(self.tokenizer(text))
        ]
        return {TEXT: [row]}

    def state_dict(self) -> dict[str, Tensor]:
        """Return nothing: there is nothing to save."""
        return {}


class MiniClipModel(nn.Module):
    """Wrap the text encoder of USO-mini in the interface ComfyUI's CLIP expects."""

    disable_offload = True  # plain torch layers cannot be streamed

    def __init__(self, encoder: nn.Module, device: Any = "cpu", dtype: Any = None, model_options: Any = None):
        """Put the encoder on a device, in float32 whatever dtype is asked for: it is tiny."""
        super().__init__()
        self.encoder = encoder.to(device, torch.float32)
        self.dtypes = {torch.float32}
        self.execution_device: torch.device | None = None

    def set_clip_options(self, options: dict[str, Any]) -> None:
        """Take the device to run on; there are no layers to choose."""
        self.execution_device = options.get("execution_device", self.execution_device)

    def reset_clip_options(self) -> None:
        """Forget the device."""
        self.execution_device = None

    def encode_token_weights(self, tokens: dict[str, Any]) -> tuple[Tensor, Tensor]:
        """Return text tokens `B L C` and the pooled vector `B C`."""
        device = self.execution_device or next(self.encoder.parameters()).device
        txt, vec = self.encoder(torch.tensor([[pair[0] for pair in row] for row in tokens[TEXT]], device=device))
        out = comfy.model_management.intermediate_device()
        return txt.to(out), vec.to(out)


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


def _clip() -> Any:
    tokenizer, encoder = load_text()
    target = comfy.supported_models_base.ClipTarget(
        partial(MiniClipTokenizer, tokenizer), partial(MiniClipModel, encoder)
    )
    return comfy.sd.CLIP(target, model_options={"dtype": torch.float32})


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
    vision = comfy.clip_vision.ClipVisionModel(str(config))
    vision.model.to(torch.float32)
    missing, unknown = vision.load_sd(_weights(path))
    if missing or unknown:
        raise UserError(
            f"{path.name} does not fit {config.name} ({len(missing)} weights missing, {len(unknown)} "
            "unknown): restore both files of the pack."
        )
    return vision
