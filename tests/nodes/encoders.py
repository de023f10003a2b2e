"""Small encoders as ComfyUI's own objects: a vision model of any size, an autoencoder of FLUX's kind."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import comfy.clip_vision
import comfy.sd
import torch
from comfyui_uso.uso_model.autoencoder import Autoencoder
from comfyui_uso.uso_model.config import AutoencoderConfig

from .conftest import fill

__all__ = ["AE", "LAYERS", "SIGLIP", "host_autoencoder", "vision_model"]

LAYERS = 6
SIGLIP = {
    "num_channels": 3,
    "hidden_act": "gelu_pytorch_tanh",
    "hidden_size": 48,
    "image_size": 28,
    "intermediate_size": 64,
    "model_type": "siglip_vision_model",
    "num_attention_heads": 3,
    "num_hidden_layers": LAYERS,
    "patch_size": 14,
    "image_mean": [0.5] * 3,
    "image_std": [0.5] * 3,
}
AE = AutoencoderConfig(
    in_channels=3,
    ch=32,
    out_ch=3,
    ch_mult=(1, 1, 1, 1),
    num_res_blocks=1,
    z_channels=16,
    scale_factor=0.3611,
    shift_factor=0.1159,
)


def vision_model(config: dict[str, Any], seed: int = 1) -> Any:
    """Return a CLIP_VISION with random weights."""
    with tempfile.TemporaryDirectory() as folder:  # ComfyUI 0.17 reads a file only
        path = Path(folder) / "config.json"
        path.write_text(json.dumps(config), encoding="utf-8")
        made = comfy.clip_vision.ClipVisionModel(str(path))
    fill(made.model, seed)
    return made


def host_autoencoder(autoencoder: Autoencoder) -> Any:
    """Return the VAE that ComfyUI makes of an autoencoder's weights."""
    sizes = autoencoder.config
    ddconfig = {
        "double_z": True,
        "z_channels": sizes.z_channels,
        "resolution": 256,
        "in_channels": sizes.in_channels,
        "out_ch": sizes.out_ch,
        "ch": sizes.ch,
        "ch_mult": list(sizes.ch_mult),
        "num_res_blocks": sizes.num_res_blocks,
        "attn_resolutions": [],
        "dropout": 0.0,
    }
    weights = autoencoder.state_dict()
    # A configured VAE has two more 1x1 convolutions than FLUX's; as the identity they change nothing.
    for name, width in (("quant_conv", 2 * sizes.z_channels), ("post_quant_conv", sizes.z_channels)):
        weights |= {f"{name}.weight": torch.eye(width)[:, :, None, None], f"{name}.bias": torch.zeros(width)}
    config = {"params": {"ddconfig": ddconfig, "embed_dim": sizes.z_channels}}
    vae = comfy.sd.VAE(sd=weights, config=config, dtype=torch.float32)
    vae.latent_channels = sizes.z_channels
    return vae
