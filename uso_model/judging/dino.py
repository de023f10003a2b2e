"""DINO: likeness of subjects by the class token, after the last layer norm, of a self-supervised ViT.

DreamBench's measure is version 1, ViT-S/16 (Ruiz et al. 2023, "DreamBooth", section 4.3); other sizes and versions give
other numbers, so that they are other judges. Source of the preprocessing: facebookresearch/dino, eval_knn.py. DINOv2's
published processor does the same; DINOv3's squashes a picture to its square, which this judge does not.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..checkpoints import CheckpointError, read_safetensors
from ..checkpoints.sizes import block_count, shape_of
from ..errors import UserError
from .encoder_judge import EncoderJudge
from .judge import Card
from .preprocessing import IMAGENET_DEVIATION, IMAGENET_MEAN, Preprocessing
from .transformers_networks import filled, heads_of

__all__ = ["CARDS", "PREPROCESSING", "Dino", "is_dino", "load_dino"]

PREPROCESSING = Preprocessing(256, 224, IMAGENET_MEAN, IMAGENET_DEVIATION)

_V1 = Card(
    name="dino",
    sees=("subject",),
    model="facebook/dino-vits16",
    revision="a7a4d161f5c0bd70478c05ca5777ec7cd8848021",
    licence="Apache-2.0",
    preprocessing="short side 256 (Pillow, bicubic), middle 224 x 224, ImageNet's mean and deviation",
    range=(-1.0, 1.0),
    address="https://huggingface.co/facebook/dino-vits16/blob/refs%2Fpr%2F1/model.safetensors",
    file="model.safetensors",
)
CARDS = {
    "dino": _V1,
    "dinov2": replace(
        _V1,
        name="dinov2",
        model="facebook/dinov2-base, or small or large",
        revision="main",
        address="https://huggingface.co/facebook/dinov2-base/blob/main/model.safetensors",
    ),
    "dinov3": replace(
        _V1,
        name="dinov3",
        model="facebook/dinov3-vitb16-pretrain-lvd1689m, or another size",
        revision="main",
        licence="DINOv3 License",
        address="https://huggingface.co/facebook/dinov3-vitb16-pretrain-lvd1689m/blob/main/model.safetensors",
    ),
}
_WIDTH, _PATCH = 384, 16
"""Of version 1: ViT-S/16."""

_HEADS = {4096: 32}
"""DINOv3 ViT-7B's heads are wider than others'."""

_GIANT = {"blocks.0.mlp.weights_in.weight", "blocks.0.mlp.gate_proj.weight"}
"""Of DINOv2: its gated layers, whose two matrices are one in the published file and in transformers 4 and not in 5."""

_RENAMES: list[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]]] = [
    (re.compile(r"^(vit|dinov2|dinov2_with_registers|dinov3_vit)\."), ""),
    (re.compile(r"^(encoder\.layer|model\.layer|layers|layer)\.(?=\d)"), "blocks."),
    (re.compile(r"\.attention\.attention\.(query|key|value)\."), lambda found: f".attention.{found[1][0]}_proj."),
    (re.compile(r"\.attention\.output\.dense\."), ".attention.o_proj."),
    (re.compile(r"\.intermediate\.dense\."), ".mlp.fc1."),
    (re.compile(r"\.output\.dense\."), ".mlp.fc2."),
]
"""Names of transformers 4, which the published files have, to those of 5."""


def _renamed(name: str) -> str:
    for pattern, target in _RENAMES:
        name = pattern.sub(target, name)
    return name


def _unused(name: str) -> bool:
    """The head over the class token and what hides patches in training."""
    return name.startswith("pooler.") or name == "embeddings.mask_token"


def is_dino(version: str, shapes: Mapping[str, tuple[int, ...]]) -> bool:
    """Whether a file holds a ViT of a version: `dino` (ViT-S/16 alone), `dinov2` or `dinov3` (any size)."""
    own = {_renamed(name): shape for name, shape in shapes.items()}
    if "embeddings.cls_token" not in own:
        return False
    if "embeddings.patch_embeddings.weight" in own:
        return version == "dinov3"
    if "blocks.0.layer_scale1.lambda1" in own:
        return version == "dinov2"
    patches = own.get("embeddings.patch_embeddings.projection.weight")
    return version == "dino" and patches == (_WIDTH, 3, _PATCH, _PATCH)


class Dino(EncoderJudge):
    """Pictures to the unit class token of a ViT."""

    def __init__(self, card: Card, network: nn.Module):
        super().__init__(card, PREPROCESSING)
        self.network = network

    def features(self, prepared: Tensor) -> Tensor:
        """Return the class token `b D` of prepared pictures `b 3 224 224`."""
        return self.network(pixel_values=prepared).last_hidden_state[:, 0]


def load_dino(version: str, path: str | Path, device: str | torch.device = "cpu") -> Dino:
    """Read a ViT of a version from a safetensors file with transformers' names, old or new, frozen, in float32.

    Raises:
        UserError: the file is no such model, or this transformers does not know the version.
    """
    path = Path(path)
    tensors = read_safetensors(path)
    own = {_renamed(name): tensor for name, tensor in tensors.items()}
    layers = block_count(own, "blocks.", path.name)
    make = {"dino": _v1, "dinov2": _v2, "dinov3": _v3}[version]
    try:
        network = filled(make(own, path.name), layers, tensors, path.name, _renamed, _unused)
    except ImportError as error:
        raise UserError(f"this transformers has no network for {version}; update transformers") from error
    return Dino(CARDS[version], network).to(device)


def _sizes(own: Mapping[str, Tensor], inner: str, patches: str, source: str) -> dict[str, Any]:
    """Return what the configurations of all versions name alike."""
    width, _, side, _ = shape_of(own, f"embeddings.{patches}.weight", 4, source)
    return {
        "hidden_size": width,
        "patch_size": side,
        "intermediate_size": shape_of(own, f"blocks.0.mlp.{inner}.weight", 2, source)[0],
        "num_attention_heads": heads_of(width, _HEADS, source),
    }


def _image_size(own: Mapping[str, Tensor], patch: int, source: str) -> int:
    """Return the side that the positions were trained for."""
    positions = shape_of(own, "embeddings.position_embeddings", 3, source)[1] - 1
    side = math.isqrt(positions)
    if not side or side * side != positions:
        raise CheckpointError(f"{source} has {positions} positions, expected a square; use the published file.")
    return side * patch


def _v1(own: Mapping[str, Tensor], source: str) -> Any:
    from transformers import ViTConfig, ViTModel  # takes seconds

    sizes = _sizes(own, "fc1", "patch_embeddings.projection", source)
    sizes["image_size"] = _image_size(own, sizes["patch_size"], source)
    return lambda layers: ViTModel(ViTConfig(**sizes, num_hidden_layers=layers), add_pooling_layer=False)


def _v2(own: Mapping[str, Tensor], source: str) -> Any:
    from transformers import Dinov2Config, Dinov2Model, Dinov2WithRegistersConfig, Dinov2WithRegistersModel

    if own.keys() & _GIANT:
        raise CheckpointError(f"{source} is DINOv2's giant, which is not read here; use small, base or large.")
    sizes = _sizes(own, "fc1", "patch_embeddings.projection", source)
    sizes["mlp_ratio"] = sizes.pop("intermediate_size") // sizes["hidden_size"]
    sizes["image_size"] = _image_size(own, sizes["patch_size"], source)
    if "embeddings.register_tokens" not in own:
        return lambda layers: Dinov2Model(Dinov2Config(**sizes, num_hidden_layers=layers))
    sizes["num_register_tokens"] = shape_of(own, "embeddings.register_tokens", 3, source)[1]
    return lambda layers: Dinov2WithRegistersModel(Dinov2WithRegistersConfig(**sizes, num_hidden_layers=layers))


def _v3(own: Mapping[str, Tensor], source: str) -> Any:
    from transformers import DINOv3ViTConfig, DINOv3ViTModel

    sizes = _sizes(own, "up_proj", "patch_embeddings", source)
    gated = "blocks.0.mlp.gate_proj.weight" in own
    sizes |= {"use_gated_mlp": gated, "hidden_act": "silu" if gated else "gelu"}
    sizes |= {f"{part}_bias": f"blocks.0.attention.{part[0]}_proj.bias" in own for part in ("query", "key", "value")}
    if "embeddings.register_tokens" in own:
        sizes["num_register_tokens"] = shape_of(own, "embeddings.register_tokens", 3, source)[1]
    return lambda layers: DINOv3ViTModel(DINOv3ViTConfig(**sizes, num_hidden_layers=layers))
