"""Small encoders: a vision model of any size as ComfyUI's own object, and the sizes that tests share."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import comfy.clip_vision
from comfyui_uso.uso_model.config import AutoencoderConfig

from .conftest import fill

__all__ = ["AE", "LAYERS", "SIGLIP", "vision_model"]

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
