"""What is set on single references: kept on the conditioning as plain values, handed to the network as tensors.

A conditioning entry carries one `Dial` for each style picture and for each content reference, as tuples under the keys
`uso_style_dials` and `uso_content_dials`. They are absent where nothing is set, so that a graph without dials runs exactly
as it would without this file.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["CONTENT_DIALS", "STYLE_DIALS", "Dial", "appended", "is_set", "key_bias", "regions"]

STYLE_DIALS = "uso_style_dials"
CONTENT_DIALS = "uso_content_dials"

Dial = dict[str, Any]
"""`strength`: number above 0, 1 without effect; `tokens`: logarithm of a strength for every token, tensor `L`; `region`:
where in the picture it counts, tensor `b h w` in 0..1; `blocks`: weight of every block, tuple of numbers. Each may be
absent."""


def is_set(dial: Mapping[str, Any]) -> bool:
    """Whether a dial changes anything."""
    return dial.get("strength", 1.0) != 1.0 or any(dial.get(key) is not None for key in ("tokens", "region", "blocks"))


def appended(values: Mapping[str, Any], key: str, had: int, new: Sequence[Dial]) -> dict[str, Any]:
    """Return the entry's dials of one kind with those of new references appended; nothing where none is set.

    Args:
        values: the conditioning entry.
        key: STYLE_DIALS or CONTENT_DIALS.
        had: references that the entry has already.
        new: a dial for each new one.
    """
    dials = (*values.get(key, ({},) * had), *new)
    return {key: dials} if any(is_set(dial) for dial in dials) else {}


def key_bias(dials: Sequence[Dial], counts: Sequence[int]) -> Tensor | None:
    """Return the logarithm of the strength of every token, `1 L`; None where all are neutral.

    Args:
        dials: one for each reference.
        counts: its tokens.
    """
    parts = []
    for dial, count in zip(dials, counts, strict=True):
        part = torch.full((count,), math.log(dial.get("strength", 1.0)))
        tokens = dial.get("tokens")
        parts.append(part if tokens is None else part + tokens.to(part))
    bias = torch.cat(parts)[None] if parts else torch.zeros(1, 0)
    return bias if bias.any() else None


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


def _fitted(region: Tensor, batch: int, height: int, width: int) -> Tensor:
    """Return a region `b h w` as `batch 1 height width`; the last one serves for all that lack one."""
    sized = F.interpolate(region[:, None].float(), (height, width), mode="bilinear", antialias=True).clamp(0, 1)
    return sized[torch.arange(batch).clamp(max=len(sized) - 1)].cpu()
