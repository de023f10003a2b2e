"""LoRAs in memory: which layers they adapt, how they are merged into weights, and joined with each other.

USO's names (bytedance/USO, uso/flux/util.py set_lora; the same table is in Comfy-Org/ComfyUI,
comfy/lora_convert.py):
    double_blocks.N.processor.qkv_lora1, proj_lora1   img_attn.qkv, img_attn.proj
    double_blocks.N.processor.qkv_lora2, proj_lora2   txt_attn.qkv, txt_attn.proj
    single_blocks.N.processor.qkv_lora, proj_lora     linear1_qkv (rows 0..3D of linear1), linear2
each with `.down.weight` (r x in) and `.up.weight` (out x r), no alpha, scale 1. W' = W + scale * up @ down.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .strict import CheckpointError, counted

__all__ = [
    "USO_PARTS",
    "Lora",
    "LowRank",
    "concatenate",
    "has_uso_layers",
    "merge_lora",
    "require_fit",
    "uso_modules",
]

USO_PARTS = {
    "double_blocks": {
        "qkv_lora1": "img_attn.qkv",
        "proj_lora1": "img_attn.proj",
        "qkv_lora2": "txt_attn.qkv",
        "proj_lora2": "txt_attn.proj",
    },
    "single_blocks": {"qkv_lora": "linear1_qkv", "proj_lora": "linear2"},
}
"""USO's name of an adapter within its block -> the layer that it adapts."""


@dataclass(frozen=True)
class LowRank:
    """One adapter: `W' = W + scale * up @ down`."""

    down: Tensor
    """`r in`."""
    up: Tensor
    """`out r`."""
    scale: float = 1.0

    @property
    def rank(self) -> int:
        return self.down.shape[0]

    def delta(self) -> Tensor:
        """Return what is added to the weight at strength 1, `out in`, in float32."""
        return self.scale * (self.up.float() @ self.down.float())


@dataclass(frozen=True)
class Lora:
    """Adapters by the module path of `UsoTransformer`, such as `double_blocks.0.img_attn.qkv`."""

    modules: dict[str, LowRank]
    isolated: bool = False
    """Whether it was trained with references that see only themselves; see `uso_model.isolation`."""

    @property
    def parameters(self) -> int:
        """Number of values in all adapters."""
        return sum(part.down.numel() + part.up.numel() for part in self.modules.values())


def uso_modules(depth: int, depth_single_blocks: int) -> dict[str, str]:
    """Return module path -> USO's key (without `.down.weight`) of every layer that USO adapts."""
    counts = {"double_blocks": depth, "single_blocks": depth_single_blocks}
    return {
        f"{blocks}.{n}.{module}": f"{blocks}.{n}.processor.{part}"
        for blocks, parts in USO_PARTS.items()
        for n in range(counts[blocks])
        for part, module in parts.items()
    }


def has_uso_layers(lora: Lora) -> bool:
    """Whether a LoRA adapts the very layers that USO adapts, in a transformer of any depth."""
    counts = {blocks: 0 for blocks in USO_PARTS}
    for name in lora.modules:
        blocks, number, *_ = [*name.split("."), ""]
        if blocks in counts and number.isdecimal():
            counts[blocks] = max(counts[blocks], int(number) + 1)
    return lora.modules.keys() == uso_modules(counts["double_blocks"], counts["single_blocks"]).keys()


def merge_lora(model: nn.Module, lora: Lora, strength: float = 1.0) -> None:
    """Add a LoRA to the weights of `model` in place.

    `W + strength * scale * up @ down` is computed in float32 and rounded once to the dtype of W. Nothing is
    changed when any adapter does not fit.

    Raises:
        CheckpointError: for an adapter whose module the model does not have or whose shape differs, with
            examples.
    """
    require_fit(model, lora)
    layers = dict(model.named_modules())
    with torch.no_grad():
        for name, adapter in lora.modules.items():
            weight = layers[name].weight
            assert isinstance(weight, Tensor)
            delta = adapter.delta().to(weight.device)
            weight.copy_((weight.float() + strength * delta).to(weight.dtype))


def require_fit(model: nn.Module, lora: Lora) -> None:
    """Make sure that a model has the layers that a LoRA adapts, of its sizes.

    Raises:
        CheckpointError: it has not, with examples.
    """
    layers = {name: layer for name, layer in model.named_modules() if isinstance(layer, nn.Linear)}
    unknown = [name for name in lora.modules if name not in layers]
    misshapen = [
        f"{name}: got {(a.up.shape[0], a.down.shape[1])}, expected {tuple(layers[name].weight.shape)}"
        for name, a in lora.modules.items()
        if name in layers and (a.up.shape[0], a.down.shape[1]) != tuple(layers[name].weight.shape)
    ]
    for problems, what in ((unknown, "unknown module"), (misshapen, "misshapen module")):
        if problems:
            examples = ", ".join(sorted(problems)[:3])
            raise CheckpointError(
                f"the LoRA does not fit this {type(model).__name__}, use one made for it: "
                f"{counted(len(problems), what)} ({examples})."
            )


def concatenate(first: Lora, second: Lora) -> Lora:
    """Return the LoRA that adds what both add: their factors side by side, the rank the sum of theirs.

    `[up1 up2] @ [down1; down2] = up1 @ down1 + up2 @ down2`, so nothing is rounded or lost; scales are multiplied into
    `up`. References are those of the second, which was trained beside the first.
    """
    modules: dict[str, LowRank] = {}
    for name in [*first.modules, *(name for name in second.modules if name not in first.modules)]:
        parts = [lora.modules[name] for lora in (first, second) if name in lora.modules]
        modules[name] = LowRank(
            torch.cat([part.down.float() for part in parts]),
            torch.cat([part.up.float() * part.scale for part in parts], dim=1),
        )
    return Lora(modules, second.isolated)
