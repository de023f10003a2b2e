"""Adapters of diffusers' layers as adapters of BFL's: q, k and v are three matrices there and one here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

import torch

from .diffusers_names import DOUBLE, DOUBLE_JOINED, OUTSIDE, SINGLE, SINGLE_JOINED, SWAPPED
from .lora import LowRank
from .strict import CheckpointError

__all__ = ["bfl_layers"]

_BLOCK = re.compile(r"(single_)?transformer_blocks\.(\d+)\.(.+)")
_MLP = "proj_mlp"
_ROWS = {
    joined: {
        name: ("linear1_qkv" if layer == "linear1" else layer, row)
        for layer, names in table.items()
        for row, name in enumerate(names[:3])
    }
    for joined, table in (("double", DOUBLE_JOINED), ("single", SINGLE_JOINED))
}
"""Kind of block -> layer there -> layer here, and which third of its rows."""


def bfl_layers(adapters: Mapping[str, LowRank], source: str) -> list[tuple[str, LowRank]]:
    """Return the adapters with BFL's names of the layers, where some have diffusers'; a name may come twice.

    Adapters of q, k and v become one whose rank is the sum of theirs, which is exact: their factors `down` stand one
    below the other, their factors `up` in rows of their own.

    Raises:
        CheckpointError: adapters of q, k and v have other shapes than each other.
    """
    layers: list[tuple[str, LowRank]] = []
    thirds: dict[str, dict[int, LowRank]] = {}
    for name, adapter in adapters.items():
        match = _BLOCK.fullmatch(name)
        if match is None:
            swapped = name in SWAPPED
            outside = SWAPPED.get(name) or OUTSIDE.get(name, name)
            layers.append((outside, _halves_swapped(adapter) if swapped else adapter))
            continue
        kind, layer = "single" if match[1] else "double", match[3]
        blocks = f"{kind}_blocks.{match[2]}"
        if layer in _ROWS[kind]:
            joined, row = _ROWS[kind][layer]
            thirds.setdefault(f"{blocks}.{joined}", {})[row] = adapter
        else:
            table = {**SINGLE, _MLP: "linear1_mlp"} if match[1] else DOUBLE
            layers.append((f"{blocks}.{table[layer]}", adapter))
    return layers + [(name, _joined(parts, f"{source} adapts {name}")) for name, parts in thirds.items()]


def _joined(parts: Mapping[int, LowRank], what: str) -> LowRank:
    """Return one adapter of three layers; a layer without one gets rows of zeros.

    Raises:
        CheckpointError: their shapes differ.
    """
    sizes = {(part.up.shape[0], part.down.shape[1]) for part in parts.values()}
    if len(sizes) > 1:
        told = ", ".join(f"{rows}x{columns}" for rows, columns in sorted(sizes))
        raise CheckpointError(f"{what} in parts of several shapes ({told}); use a plain LoRA file made for FLUX.")
    rank, place = sum(part.rank for part in parts.values()), 0
    width = next(iter(sizes))[0]
    up = torch.zeros(3 * width, rank)
    for row, part in sorted(parts.items()):
        up[row * width : (row + 1) * width, place : place + part.rank] = part.up.float() * part.scale
        place += part.rank
    return LowRank(torch.cat([part.down.float() for _, part in sorted(parts.items())]), up)


def _halves_swapped(adapter: LowRank) -> LowRank:
    return replace(adapter, up=adapter.up.roll(adapter.up.shape[0] // 2, 0))
