"""What a model call has to know of its references: read from a conditioning entry, carried through ComfyUI's batching.

ComfyUI joins the entries of a step to one call where all they carry fits together. A plan therefore travels in two
kinds of values: its tensors, which are stacked, and all else in one constant, which has to be equal.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from comfy.conds import CONDConstant, CONDNoiseShape, CONDRegular
from torch import Tensor

from ...uso_model.dials.bias import OFF
from ...uso_model.dials.blocks import Blocks
from ..graph.dials import Dial, Place, dials_of
from ..graph.keys import (
    CONTENT_BIAS,
    CONTENT_DIALS,
    COUNTS,
    PLAN,
    REFERENCES,
    REGIONS,
    STYLE,
    STYLE_BIAS,
    STYLE_DIALS,
    TEXT_BIAS,
    TEXT_STRENGTH,
)
from .host_call import HostCall

__all__ = ["Plan", "entry_conds", "take_plan"]

_TENSORS = {"style_bias": STYLE_BIAS, "content_bias": CONTENT_BIAS, "text_bias": TEXT_BIAS, "regions": REGIONS}
"""Fields of a plan that are tensors, with their keys in a model call."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is set on the references of an entry, or of a call."""

    counts: tuple[int, ...] = ()
    """Tokens of each style picture."""
    blocks: tuple[Blocks | None, ...] = ()
    """Weights of each style picture and then of each content reference; empty: none is set."""
    fast: tuple[bool, ...] = ()
    """Whether strength goes by values, for the same references; empty: for none."""
    places: tuple[Place | None, ...] = ()
    """Of each content reference; empty: all stand on the official diagonal."""
    style_bias: Tensor | None = None
    """Logarithm of the strength of every style token, `b L`."""
    content_bias: Tensor | None = None
    """Of every content reference, `b R`."""
    text_bias: Tensor | None = None
    """Of the text, `b 1`."""
    regions: Tensor | None = None
    """Where each style picture and each content reference counts, `b S+R h w`."""

    @property
    def tensors(self) -> dict[str, Tensor]:
        """The tensors that are set, by their keys in a model call."""
        found = {key: getattr(self, name) for name, key in _TENSORS.items()}
        return {key: tensor for key, tensor in found.items() if tensor is not None}

    @property
    def changes_attention(self) -> bool:
        """Whether attention gets a mask, or other values."""
        return bool(self.tensors) or bool(self.blocks)


def entry_plan(entry: Mapping[str, Any], height: int, width: int) -> Plan:
    """Return the plan of a conditioning entry for a latent of `height` x `width`."""
    counts = tuple(entry.get(COUNTS, ()))
    style = dials_of(entry, STYLE_DIALS, len(counts))
    content = dials_of(entry, CONTENT_DIALS, len(entry.get(REFERENCES, ())))
    text = Dial(strength=entry.get(TEXT_STRENGTH, 1.0), shared=TEXT_STRENGTH in entry)
    both = (*style, *content)
    return Plan(
        counts=counts,
        blocks=_unless_all_neutral([dial.blocks for dial in both]),
        fast=_unless_all_neutral([dial.fast for dial in both]),
        places=_unless_all_neutral([dial.place for dial in content]),
        style_bias=_key_bias(style, counts),
        content_bias=_key_bias(content, (1,) * len(content)),
        text_bias=_key_bias([text], (1,)),
        regions=_regions(both, height, width),
    )


def entry_conds(
    entry: Mapping[str, Any], device: torch.device, dtype: torch.dtype | None, size: tuple[int, int]
) -> dict[str, Any]:
    """Return what ComfyUI is to batch for an entry, by its keys in a model call; empty where it has no reference.

    Args:
        entry: a conditioning entry as the sampler holds it.
        device: that samples.
        dtype: of the network; None: left as it is.
        size: height and width of the latent.
    """
    plan = entry_plan(entry, *size)
    conds: dict[str, Any] = {
        key: (_RegionsCond if key == REGIONS else CONDRegular)(tensor.to(device))
        for key, tensor in plan.tensors.items()
    }
    if conds or plan.blocks or plan.fast or plan.places:
        bare = replace(plan, style_bias=None, content_bias=None, text_bias=None, regions=None)
        conds[PLAN] = CONDConstant(bare)
    if entry.get(STYLE) is not None:
        conds[STYLE] = CONDRegular(entry[STYLE].to(device, dtype))
    return conds


def take_plan(call: HostCall) -> Plan:
    """Take the plan out of a model call and return it."""
    plan: Plan = call.take(PLAN, Plan())
    tensors: dict[str, Any] = {name: call.take(key) for name, key in _TENSORS.items()}
    if tensors["regions"] is not None:
        tensors["regions"] = tensors["regions"].squeeze(_DEPTH)
    return replace(plan, **tensors)


_DEPTH = 2


class _RegionsCond(CONDNoiseShape):
    """Regions `b S+R h w`, cut as ComfyUI cuts its masks, and `b S+R 1 h w` in a model call.

    Packs that draw tiles take every tensor `b c h w` of a call for a latent.
    """

    def process_cond(self, batch_size: int, area: Any, **kwargs: Any) -> CONDRegular:
        """Return the regions of a part of the picture."""
        return CONDRegular(super().process_cond(batch_size, area, **kwargs).cond.unsqueeze(_DEPTH))


def _unless_all_neutral(parts: Sequence[Any]) -> tuple[Any, ...]:
    """Return a tuple of parts, empty where none is set."""
    return tuple(parts) if any(part is not None and part is not False for part in parts) else ()


def _key_bias(dials: Sequence[Dial], counts: Sequence[int]) -> Tensor | None:
    """Return the logarithm of the strength of every token, `1 L`; None where all are neutral and none is shared.

    Args:
        dials: one for each reference.
        counts: its tokens.
    """
    parts = []
    for dial, count in zip(dials, counts, strict=True):
        part = torch.full((count,), math.log(dial.strength) if dial.strength > 0 else OFF)
        parts.append(part if dial.tokens is None else part + dial.tokens.to(part))
    bias = torch.cat(parts)[None] if parts else torch.zeros(1, 0)
    return bias if bias.any() or any(dial.shared for dial in dials) else None


def _regions(dials: Sequence[Dial], height: int, width: int) -> Tensor | None:
    """Return where every reference counts, `b references height width`; None where all count everywhere."""
    drawn = [dial.region for dial in dials]
    if all(region is None for region in drawn):
        return None
    batch = max(region.shape[0] for region in drawn if region is not None)
    whole = torch.ones(batch, 1, height, width)
    return torch.cat([whole if region is None else _fitted(region, batch, height, width) for region in drawn], dim=1)


def _fitted(region: Tensor, batch: int, height: int, width: int) -> Tensor:
    """Return a region `b h w` as `batch 1 height width`; the last one serves for all that lack one."""
    sized = F.interpolate(region[:, None].float(), (height, width), mode="bilinear", antialias=True).clamp(0, 1)
    return sized[torch.arange(batch).clamp(max=len(sized) - 1)].cpu()
