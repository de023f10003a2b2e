"""LoRA on the layers that USO adapts, held by peft."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn

from ..uso_model.checkpoints import CheckpointError, Lora, LowRank
from ..uso_model.checkpoints.lora import uso_modules
from ..uso_model.transformer import UsoTransformer

__all__ = ["adapters_off", "add_lora", "load_into", "lora_from_parameters"]

_ADAPTER = "default"
_PARAMETER = re.compile(rf"(.+)\.lora_([AB])\.{_ADAPTER}\.weight")


def add_lora(transformer: UsoTransformer, rank: int, seed: int = 0) -> None:
    """Freeze a transformer and add trainable low-rank branches, in float32, to the layers that USO adapts.

    Those are the attention projections, and the output of the single blocks. The branches start as USO's do:
    down ~ Normal(0, 1/rank), up = 0, scale 1 (bytedance/USO, uso/flux/modules/layers.py).
    """
    _inject(transformer, rank)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for layer in _layers(transformer).values():
            down, up = _factors(layer)
            down.copy_(torch.randn(down.shape, generator=generator) / rank)
            up.zero_()


def load_into(transformer: UsoTransformer, lora: Lora) -> None:
    """Freeze a transformer and make a LoRA's factors its trainable branches, scales multiplied into `up`.

    Raises:
        CheckpointError: the LoRA adapts other layers than USO, has several ranks, or does not fit.
    """
    sizes = transformer.config
    expected = uso_modules(sizes.depth, sizes.depth_single_blocks).keys()
    ranks = {part.rank for part in lora.modules.values()}
    if lora.modules.keys() != expected or len(ranks) != 1:
        missing, extra = expected - lora.modules.keys(), lora.modules.keys() - expected
        raise CheckpointError(
            f"got a LoRA with {len(lora.modules)} layers of the ranks {sorted(ranks)}, expected one rank on the "
            f"{len(expected)} layers that USO adapts ({len(missing)} are missing, {len(extra)} are others); set "
            "lora.start to add, which takes any LoRA."
        )
    _inject(transformer, ranks.pop())
    with torch.no_grad():
        for name, layer in _layers(transformer).items():
            part = lora.modules[name]
            for weight, factor in zip(_factors(layer), (part.down, part.up.float() * part.scale), strict=True):
                if weight.shape != factor.shape:
                    raise CheckpointError(
                        f"the LoRA's factor of {name} has shape {tuple(factor.shape)}, expected {tuple(weight.shape)}; "
                        "use one made for this FLUX."
                    )
                weight.copy_(factor)


def lora_from_parameters(parameters: Mapping[str, Tensor]) -> Lora:
    """Return the branches among the parameters of a transformer, as a checkpoint holds them; their scale is 1."""
    factors: dict[str, dict[str, Tensor]] = {}
    for name, parameter in parameters.items():
        if match := _PARAMETER.fullmatch(name):
            factors.setdefault(match[1], {})[match[2]] = parameter.detach()
    return Lora({name: LowRank(pair["A"], pair["B"]) for name, pair in factors.items()})


@contextmanager
def adapters_off(transformer: UsoTransformer) -> Iterator[None]:
    """Let a transformer compute without its branches for a while."""
    layers = _layers(transformer).values()
    for layer in layers:
        layer.enable_adapters(False)
    try:
        yield
    finally:
        for layer in layers:
            layer.enable_adapters(True)


def _inject(transformer: UsoTransformer, rank: int) -> None:
    transformer.requires_grad_(False)
    names = uso_modules(transformer.config.depth, transformer.config.depth_single_blocks)
    inject_adapter_in_model(LoraConfig(r=rank, lora_alpha=rank, target_modules=list(names)), transformer)
    for layer in _layers(transformer).values():
        # peft gives the branches the dtype of the layer; they are trained in float32 whatever holds the layer.
        for side in (layer.lora_A, layer.lora_B):
            side[_ADAPTER].float()


def _factors(layer: LoraLayer) -> tuple[nn.Parameter, nn.Parameter]:
    """Return `down` and `up` of a layer."""
    down, up = (side[_ADAPTER].weight for side in (layer.lora_A, layer.lora_B))
    assert isinstance(down, nn.Parameter) and isinstance(up, nn.Parameter)
    return down, up


def _layers(transformer: nn.Module) -> dict[str, LoraLayer]:
    return {name: layer for name, layer in transformer.named_modules() if isinstance(layer, LoraLayer)}
