"""LoRA on the layers that USO adapts, held by peft."""

from __future__ import annotations

import re

import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora import LoraLayer
from torch import nn

from ..uso_model.checkpoints import Lora, LowRank
from ..uso_model.transformer import UsoTransformer

__all__ = ["USO_TARGETS", "add_lora", "lora_of"]

USO_TARGETS = r"(double_blocks\.\d+\.(img|txt)_attn\.(qkv|proj))|(single_blocks\.\d+\.(linear1_qkv|linear2))"
"""Layers that USO's published LoRA adapts: attention projections, and the output of the single blocks."""


def add_lora(transformer: UsoTransformer, rank: int, targets: str = USO_TARGETS, seed: int = 0) -> None:
    """Freeze a transformer and add trainable low-rank branches to the layers matched by `targets`.

    The branches start as USO's do: down ~ Normal(0, 1/rank), up = 0, scale 1
    (bytedance/USO, uso/flux/modules/layers.py).

    Raises:
        ValueError: no layer matches.
    """
    if not any(re.fullmatch(targets, name) for name, _ in transformer.named_modules()):
        raise ValueError(
            f"no layer of the transformer matches {targets!r}; use names such as double_blocks.0.img_attn.qkv"
        )
    transformer.requires_grad_(False)
    inject_adapter_in_model(LoraConfig(r=rank, lora_alpha=rank, target_modules=targets), transformer)
    generator = torch.Generator().manual_seed(seed)
    for layer in _layers(transformer).values():
        down = layer.lora_A["default"].weight
        with torch.no_grad():
            down.copy_(torch.randn(down.shape, generator=generator) / rank)


def lora_of(transformer: UsoTransformer) -> Lora:
    """Return the branches that `add_lora` added, by the name of their layer."""
    return Lora(
        {
            name: LowRank(
                layer.lora_A["default"].weight.detach(),
                layer.lora_B["default"].weight.detach(),
                layer.scaling["default"],
            )
            for name, layer in _layers(transformer).items()
        }
    )


def _layers(transformer: nn.Module) -> dict[str, LoraLayer]:
    return {name: layer for name, layer in transformer.named_modules() if isinstance(layer, LoraLayer)}
