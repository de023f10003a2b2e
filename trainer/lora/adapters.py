"""LoRA on layers of the transformer, held by peft."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager

import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn

from ...uso_model.checkpoints import Lora, LowRank
from ...uso_model.checkpoints.lora import require_fit, uso_modules
from ...uso_model.transformer import UsoTransformer

__all__ = ["ADAPTER", "adapters_off", "add_lora", "load_into", "lora_from_parameters", "lora_layers"]

ADAPTER = "default"
"""Name of the branches in peft."""

_PARAMETER = re.compile(rf"(.+)\.lora_([AB])\.{ADAPTER}\.weight")


def add_lora(
    transformer: UsoTransformer,
    rank: int,
    seed: int = 0,
    layers: Collection[str] | None = None,
    alpha: float | None = None,
) -> None:
    """Freeze a transformer and add trainable low-rank branches, in float32, to some of its layers.

    The branches start as USO's do: down ~ Normal(0, 1/rank), up = 0 (bytedance/USO, uso/flux/modules/layers.py).

    Args:
        transformer: changed in place.
        rank: of every branch.
        seed: of `down`.
        layers: paths of the layers, see `chosen_layers`; None: those that USO adapts, which are the attention
            projections and the output of the single blocks.
        alpha: the branches are scaled by alpha / rank; None: by 1, as USO's are.
    """
    sizes = transformer.config
    names = uso_modules(sizes.depth, sizes.depth_single_blocks) if layers is None else layers
    _inject(transformer, dict.fromkeys(names, rank), alpha)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for layer in lora_layers(transformer).values():
            down, up = _factors(layer)
            down.copy_(torch.randn(down.shape, generator=generator) / rank)
            up.zero_()


def load_into(transformer: UsoTransformer, lora: Lora, alpha: float | None = None) -> None:
    """Freeze a transformer and make a LoRA's factors its trainable branches, each with its own rank.

    What differs between a factor's scale in the file and in the branch is multiplied into `up`.

    Args:
        transformer: changed in place.
        lora: factors of any of its layers.
        alpha: the branches are scaled by alpha / rank; None: by 1.

    Raises:
        CheckpointError: the LoRA adapts layers that the transformer does not have, or of another size.
    """
    require_fit(transformer, lora)
    _inject(transformer, {name: part.rank for name, part in lora.modules.items()}, alpha)
    with torch.no_grad():
        for name, layer in lora_layers(transformer).items():
            part, (down, up) = lora.modules[name], _factors(layer)
            down.copy_(part.down)
            up.copy_(part.up.float() * (part.scale / layer.scaling[ADAPTER]))


def lora_from_parameters(parameters: Mapping[str, Tensor], alpha: float | None = None) -> Lora:
    """Return the branches among the parameters of a transformer, as a checkpoint holds them, with the scale 1.

    Args:
        parameters: by their names in the transformer.
        alpha: that the branches have; alpha / rank is multiplied into `up`.
    """
    factors: dict[str, dict[str, Tensor]] = {}
    for name, parameter in parameters.items():
        if match := _PARAMETER.fullmatch(name):
            factors.setdefault(match[1], {})[match[2]] = parameter.detach()
    modules = {}
    for name, pair in factors.items():
        rank = pair["A"].shape[0]
        up = pair["B"] if alpha in (None, rank) else pair["B"].float() * (alpha / rank)
        modules[name] = LowRank(pair["A"], up)
    return Lora(modules)


@contextmanager
def adapters_off(transformer: UsoTransformer) -> Iterator[None]:
    """Let a transformer compute without its branches for a while."""
    layers = lora_layers(transformer).values()
    for layer in layers:
        layer.enable_adapters(False)
    try:
        yield
    finally:
        for layer in layers:
            layer.enable_adapters(True)


def lora_layers(transformer: nn.Module) -> dict[str, LoraLayer]:
    """Return the layers that have branches, by their paths."""
    return {name: layer for name, layer in transformer.named_modules() if isinstance(layer, LoraLayer)}


def _inject(transformer: UsoTransformer, ranks: Mapping[str, int], alpha: float | None) -> None:
    transformer.requires_grad_(False)
    # peft reads the names as patterns, in which a dot is any character.
    own = {re.escape(name): rank for name, rank in ranks.items()}
    scales = own if alpha is None else dict.fromkeys(own, alpha)
    settings = LoraConfig(target_modules=list(ranks), rank_pattern=own, alpha_pattern=scales)
    inject_adapter_in_model(settings, transformer)
    for layer in lora_layers(transformer).values():
        # peft gives the branches the dtype of the layer; they are trained in float32 whatever holds the layer.
        for side in (layer.lora_A, layer.lora_B):
            side[ADAPTER].float()


def _factors(layer: LoraLayer) -> tuple[nn.Parameter, nn.Parameter]:
    """Return `down` and `up` of a layer."""
    down, up = (side[ADAPTER].weight for side in (layer.lora_A, layer.lora_B))
    assert isinstance(down, nn.Parameter) and isinstance(up, nn.Parameter)
    return down, up
