"""OneIG-Bench's style encoder: a second measure of style, of other data than CSD's; it is no reward by default.

Chang et al. 2025, "OneIG-Bench". Source: the card of xingpng/OneIG-StyleEncoder and OneIG-Bench/OneIG-Benchmark,
scripts/style/style_score.py: CLIP's vision tower with its projection through transformers, after transformers' own
preprocessing for CLIP; the descriptor is the normalised projection, and styles are compared by cosines. How it was
trained and the sizes of the network are not published beside it; the sizes are read off the weights.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..checkpoints import CheckpointError, read_safetensors
from ..checkpoints.sizes import block_count, shape_of
from ..untrusted import field, parse_json, quoted, read_text
from .encoder_judge import EncoderJudge
from .judge import Card
from .preprocessing import CLIP_DEVIATION, CLIP_MEAN, Preprocessing
from .transformers_networks import filled, heads_of

__all__ = ["CARD", "PREPROCESSING", "StyleEncoder", "is_vision_tower", "load_style_encoder"]

PREPROCESSING = Preprocessing(224, 224, CLIP_MEAN, CLIP_DEVIATION, offsets_down=True)

CARD = Card(
    name="style_encoder",
    sees=("style",),
    model="xingpng/OneIG-StyleEncoder",
    revision="main (card 9e81046)",
    licence="Apache-2.0",
    preprocessing="short side 224 (Pillow, bicubic), middle 224 x 224, CLIP's mean and deviation",
    range=(-1.0, 1.0),
    address="https://huggingface.co/xingpng/OneIG-StyleEncoder/tree/main",
    file="model.safetensors",
)

_PATCHES = "vision_model.embeddings.patch_embedding.weight"
_PROJECTION = "visual_projection.weight"
_LAYERS = "vision_model.encoder.layers."
_HEADS = {1280: 16, 1664: 16}
"""Of LAION's ViT-H/14 and ViT-bigG/14, whose heads are wider than OpenAI's."""

_ACTIVATIONS = ("gelu", "quick_gelu")


def is_vision_tower(shapes: Mapping[str, tuple[int, ...]]) -> bool:
    """Whether a file holds CLIP's vision tower with its projection and no text tower, in transformers' names."""
    has_text = any(name.startswith("text_model.") for name in shapes)
    return _PATCHES in shapes and _PROJECTION in shapes and not has_text


class StyleEncoder(EncoderJudge):
    """Pictures to unit style descriptors."""

    def __init__(self, network: nn.Module, activation: str = "quick_gelu"):
        # Features are kept under what the card says, and weights do not tell the activation.
        super().__init__(replace(CARD, preprocessing=f"{CARD.preprocessing}; {activation}"), PREPROCESSING)
        self.network = network

    def features(self, prepared: Tensor) -> Tensor:
        """Return projected features `b D` of prepared pictures `b 3 224 224`."""
        return self.network(pixel_values=prepared).image_embeds


def load_style_encoder(path: str | Path, device: str | torch.device = "cpu") -> StyleEncoder:
    """Read a vision tower with projection from a safetensors file, frozen, in float32.

    The activation, which leaves no trace in weights, is that of the config.json beside the file where there is one,
    and otherwise that of the tower of this width: OpenAI's QuickGELU, or LAION's GELU for 1280 and 1664.

    Raises:
        UserError: the file is no such model, or its config.json cannot be read.
    """
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection  # takes seconds

    path = Path(path)
    tensors = {name: tensor for name, tensor in read_safetensors(path).items() if not name.endswith(".position_ids")}
    sizes = _sizes(tensors, path)

    def make(layers: int) -> nn.Module:
        return CLIPVisionModelWithProjection(CLIPVisionConfig(**sizes, num_hidden_layers=layers))

    layers = block_count(tensors, _LAYERS, path.name)
    return StyleEncoder(filled(make, layers, tensors, path.name), sizes["hidden_act"]).to(device)


def _sizes(tensors: Mapping[str, Tensor], path: Path) -> dict[str, Any]:
    width, _, patch, _ = shape_of(tensors, _PATCHES, 4, path.name)
    positions = shape_of(tensors, "vision_model.embeddings.position_embedding.weight", 2, path.name)[0] - 1
    if math.isqrt(positions) * patch != PREPROCESSING.crop:
        raise CheckpointError(
            f"{path.name} has {positions} positions of {patch} pixels, expected a tower for {PREPROCESSING.crop} "
            "pixels; use the published file."
        )
    return {
        "hidden_size": width,
        "patch_size": patch,
        "image_size": PREPROCESSING.crop,
        "intermediate_size": shape_of(tensors, f"{_LAYERS}0.mlp.fc1.weight", 2, path.name)[0],
        "projection_dim": shape_of(tensors, _PROJECTION, 2, path.name)[0],
        "num_attention_heads": heads_of(width, _HEADS, path.name),
        "hidden_act": _activation(path, width),
    }


def _activation(path: Path, width: int) -> str:
    config = path.parent / "config.json"
    if config.is_file():
        told = parse_json(read_text(config, "download it again", CheckpointError), str(config), CheckpointError)
        if isinstance(told, dict) and told.get("hidden_size") == width and "hidden_act" in told:
            name = field(told, "hidden_act", str, str(config), CheckpointError)
            if name not in _ACTIVATIONS:
                raise CheckpointError(
                    f"{config} has 'hidden_act' = {quoted(name)!r}, expected {' or '.join(_ACTIVATIONS)}; download it "
                    "again"
                )
            return name
    return "gelu" if width in _HEADS else "quick_gelu"
