"""What is set on single references: kept on the conditioning as plain values, handed to the network as tensors.

A conditioning entry carries one `Dial` for each style picture and for each content reference, as tuples under the keys
`uso_style_dials` and `uso_content_dials`. They are absent where nothing is set, so that a graph without dials runs
exactly as it would without this file.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ...uso_model.dials.bias import OFF
from ...uso_model.dials.blocks import Blocks
from ...uso_model.positions import Placement

__all__ = [
    "CONTENT_DIALS",
    "STYLE_DIALS",
    "TEXT_STRENGTH",
    "Dial",
    "Place",
    "Plan",
    "appended",
    "is_set",
    "key_bias",
    "padded",
    "plan_of",
    "regions",
]

STYLE_DIALS = "uso_style_dials"
CONTENT_DIALS = "uso_content_dials"
TEXT_STRENGTH = "uso_text_strength"
"""Conditioning key: strength of the text tokens, a number; 1 where the entry is to share a batch with another's."""

Dial = dict[str, Any]
"""What is set on one reference; each may be absent.

- `strength`: number from 0, 1 without effect. 0 leaves the tokens in place and hides them, so that the entry can
  share a batch with one in which they count.
- `tokens`: logarithm of a strength for every token, tensor `L`
- `region`: where in the picture it counts, tensor `b h w` in 0..1
- `blocks`: weights of the network's blocks
- `fast`: strength by the size of the values instead of a mask
- `place`: where a content reference stands
- `shared`: set on entries that are to share a batch, whether or not anything else is set
"""


class Place(NamedTuple):
    """Where a content reference stands beside the drawn picture."""

    side: Placement = "d"
    row: int = 0
    """Tokens that it is moved down, besides."""
    column: int = 0
    """Tokens that it is moved to the right, besides."""


class Plan(NamedTuple):
    """What a model call has to know of its references besides tensors; entries with equal plans may share a batch."""

    counts: tuple[int, ...] = ()
    """Tokens of each style picture."""
    blocks: tuple[Blocks | None, ...] = ()
    """Weights of each style picture and then of each content reference; empty: none is set."""
    fast: tuple[bool, ...] = ()
    """Whether strength goes by values, for the same references; empty: for none."""
    places: tuple[Place | None, ...] = ()
    """Of each content reference; empty: all stand on the official diagonal."""


def is_set(dial: Mapping[str, Any]) -> bool:
    """Whether a dial changes anything."""
    keys = ("tokens", "region", "blocks", "place", "shared")
    return dial.get("strength", 1.0) != 1.0 or any(dial.get(key) is not None for key in keys)


def appended(values: Mapping[str, Any], key: str, had: int, new: Sequence[Dial]) -> dict[str, Any]:
    """Return the entry's dials of one kind with those of new references appended; nothing where none is set.

    Args:
        values: the conditioning entry.
        key: STYLE_DIALS or CONTENT_DIALS.
        had: references that the entry has already.
        new: a dial for each new one.
    """
    dials = (*padded(values.get(key, ()), had), *new)
    return {key: dials} if any(is_set(dial) for dial in dials) else {}


def padded(dials: Sequence[Dial], count: int) -> tuple[Dial, ...]:
    """Return a dial for each reference; those that other nodes have appended since have nothing set."""
    return (*dials, *({} for _ in range(count - len(dials))))


def key_bias(dials: Sequence[Dial], counts: Sequence[int]) -> Tensor | None:
    """Return the logarithm of the strength of every token, `1 L`; None where all are neutral and none is shared.

    Args:
        dials: one for each reference.
        counts: its tokens.
    """
    parts = []
    for dial, count in zip(dials, counts, strict=True):
        strength = dial.get("strength", 1.0)
        part = torch.full((count,), math.log(strength) if strength > 0 else OFF)
        tokens = dial.get("tokens")
        parts.append(part if tokens is None else part + tokens.to(part))
    bias = torch.cat(parts)[None] if parts else torch.zeros(1, 0)
    return bias if bias.any() or any(dial.get("shared") for dial in dials) else None


def regions(dials: Sequence[Dial], height: int, width: int) -> Tensor | None:
    """Return where every reference counts, `b references height width`; None where all count everywhere.

    Args:
        dials: one for each reference.
        height: of the latent.
        width: of the latent.
    """
    drawn = [dial.get("region") for dial in dials]
    if all(region is None for region in drawn):
        return None
    batch = max(region.shape[0] for region in drawn if region is not None)
    whole = torch.ones(batch, 1, height, width)
    return torch.cat([whole if region is None else _fitted(region, batch, height, width) for region in drawn], dim=1)


def plan_of(style: Sequence[Dial], counts: Sequence[int], content: Sequence[Dial]) -> Plan:
    """Return the plan of an entry.

    Args:
        style: dial of each style picture.
        counts: tokens of each style picture.
        content: dial of each content reference.
    """
    dials = (*style, *content)
    blocks = tuple(dial.get("blocks") for dial in dials)
    fast = tuple(bool(dial.get("fast")) for dial in dials)
    places = tuple(dial.get("place") for dial in content)
    return Plan(
        tuple(counts),
        blocks if any(part is not None for part in blocks) else (),
        fast if any(fast) else (),
        places if any(place is not None for place in places) else (),
    )


def _fitted(region: Tensor, batch: int, height: int, width: int) -> Tensor:
    """Return a region `b h w` as `batch 1 height width`; the last one serves for all that lack one."""
    sized = F.interpolate(region[:, None].float(), (height, width), mode="bilinear", antialias=True).clamp(0, 1)
    return sized[torch.arange(batch).clamp(max=len(sized) - 1)].cpu()
