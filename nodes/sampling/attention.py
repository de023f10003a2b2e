"""What the dials do to attention in one model call: masks of strengths and regions, and values in the fast form.

FLUX hands `attention_mask` to every block. Others (Redux with a strength) make it for `[text, image]`; with style
tokens before and content references behind it has to grow on both sides, which ComfyUI itself does not do.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ...uso_model.dials.bias import OFF, Layout, Reference, attention_bias, is_neutral, value_scale
from ...uso_model.errors import UserError
from ...uso_model.packing import PATCH
from ..graph.keys import ATTENTION
from .plan import Plan

__all__ = ["AttentionInputs", "attention_inputs", "content_tokens", "grown", "layout_of", "patch_attention"]


@dataclass(frozen=True)
class AttentionInputs:
    """What each block's attention gets: one entry for all blocks, or one for every block, double ones first."""

    masks: tuple[Tensor | None, ...]
    """Added to the scores, `b 1 1 L` or `b 1 L L`."""
    values: tuple[Tensor | None, ...]
    """Factors of the values, `b 1 L 1`."""
    double: int = 0
    """Number of double blocks."""

    @property
    def none(self) -> bool:
        """Whether nothing is changed."""
        return all(part is None for part in (*self.masks, *self.values))

    @property
    def alike(self) -> bool:
        """Whether a mask alone does it, the same in all blocks."""
        return len(self.masks) == 1 and self.values == (None,)

    def rows(self, start: int, stop: int) -> AttentionInputs:
        """Return the same for queries of these tokens alone; keys stay."""
        cut = (mask if mask is None or mask.shape[2] == 1 else mask[:, :, start:stop] for mask in self.masks)
        return replace(self, masks=tuple(cut))


def layout_of(x: Tensor, context: Tensor, style: Tensor | None, references: Sequence[Tensor]) -> Layout:
    """Return how many tokens of each sort a call has.

    Args:
        x: latents `b c h w`.
        context: text `b L C`.
        style: style tokens `b L D`.
        references: content latents `b c h w`.
    """
    grid = tuple(-(-side // PATCH) for side in x.shape[-2:])
    tokens = content_tokens(references)
    return Layout(0 if style is None else style.shape[1], context.shape[1], (grid[0], grid[1]), tokens)


def content_tokens(references: Sequence[Tensor]) -> tuple[int, ...]:
    """Return how many tokens each content latent `b c h w` has."""
    return tuple((-(-ref.shape[-2] // PATCH)) * (-(-ref.shape[-1] // PATCH)) for ref in references)


def attention_inputs(layout: Layout, plan: Plan, other: Tensor | None) -> AttentionInputs:
    """Return what a call's attention gets.

    Args:
        layout: of the sequence.
        plan: of the call.
        other: mask that another node has put there for text and picture, bool or added to the scores.
    """
    other = None if other is None else grown(other, layout)
    references = _references(layout, plan)
    device = next((tensor.device for tensor in plan.tensors.values()), None)
    fast = (*plan.fast, *(False,) * (len(references) - len(plan.fast)))
    blocks = next((part for part in plan.blocks if part is not None), None)
    if blocks is None:
        mask, values = _block_inputs(layout, references, fast, other, device)
        return AttentionInputs((mask,), (values,))
    found: dict[tuple[float, ...], tuple[Tensor | None, Tensor | None]] = {}
    every = []
    for number in range(len(blocks.double) + len(blocks.single)):
        factors = tuple(1.0 if part is None else (*part.double, *part.single)[number] for part in plan.blocks)
        if factors not in found:  # few kinds of blocks, many blocks
            found[factors] = _block_inputs(layout, _weighed(references, factors), fast, other, device)
        every.append(found[factors])
    masks, scales = zip(*every, strict=True)
    return AttentionInputs(masks, scales, len(blocks.double))


@torch.compiler.disable
def patch_attention(
    q: Tensor, k: Tensor, v: Tensor, pe: Any = None, attn_mask: Any = None, extra_options: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Give a block of FLUX its mask and values `b heads L D`; a patch of ComfyUI's `attn1`."""
    options = extra_options or {}
    inputs: AttentionInputs | None = options.get(ATTENTION)
    if inputs is None:
        return {}
    number = 0
    if len(inputs.masks) > 1:
        number = options["block_index"] + (inputs.double if options["block_type"] == "single" else 0)
    mask, values = inputs.masks[number], inputs.values[number]
    changed: dict[str, Any] = {} if mask is None else {"attn_mask": mask.to(q.dtype)}
    if values is None:
        return changed
    # Flux KV Cache takes the references off the end of later steps and puts them back, already scaled, behind us.
    return {**changed, "v": v * values[:, :, : v.shape[2]].to(v.dtype)}


def grown(mask: Tensor, layout: Layout) -> Tensor:
    """Return a mask made for `[text, image]` as one for `[style, text, image, references]`, added to the scores.

    What it says nothing about may attend freely. A mask that already has the right size is only made additive.

    Raises:
        UserError: it has another size.
    """
    if mask.dtype == torch.bool:
        mask = torch.zeros(mask.shape, device=mask.device).masked_fill(~mask, OFF)
    while mask.ndim < 4:  # ComfyUI's own reading of masks with fewer axes
        mask = mask[None] if mask.ndim < 3 else mask[:, None]
    before, behind = layout.style, sum(layout.references)
    inner = layout.length - before - behind
    rows, columns = mask.shape[-2:]
    if columns == layout.length:
        return mask
    if columns != inner or rows not in (1, inner):
        raise UserError(
            f"Got an attention mask for {columns} tokens on the conditioning, expected one for the {inner} tokens of "
            "text and picture: put the node that makes it before USO Apply, and use the size that you draw at."
        )
    pad = (before, behind) if rows == 1 else (before, behind, before, behind)
    return torch.nn.functional.pad(mask, pad)


def _references(layout: Layout, plan: Plan) -> list[Reference]:
    """Return style pictures, content references and, where it has a bias, the text."""
    found, start = [], 0
    for number, count in enumerate(plan.counts):
        bias = 0.0 if plan.style_bias is None else plan.style_bias[:, start : start + count]
        found.append(Reference(start, count, bias, None if plan.regions is None else plan.regions[:, number]))
        start += count
    start = layout.length - sum(layout.references)
    for number, count in enumerate(layout.references):
        bias = 0.0 if plan.content_bias is None else plan.content_bias[:, number, None]
        region = None if plan.regions is None else plan.regions[:, len(plan.counts) + number]
        found.append(Reference(start, count, bias, region))
        start += count
    if plan.text_bias is not None:
        found.append(Reference(layout.style, layout.text, plan.text_bias))
    return found


def _weighed(references: Sequence[Reference], factors: Sequence[float]) -> list[Reference]:
    """Return the references with their strengths times a factor; the text, which has none, stays as it is."""
    logs = [math.log(factor) if factor > 0 else OFF for factor in factors]
    logs += [0.0] * (len(references) - len(logs))
    return [replace(part, bias=part.bias + log) for part, log in zip(references, logs, strict=True)]


def _block_inputs(
    layout: Layout, references: Sequence[Reference], fast: Sequence[bool], other: Tensor | None, device: Any
) -> tuple[Tensor | None, Tensor | None]:
    """Return mask and value factors of one kind of block."""
    by_value, by_mask = (
        [part for part, quick in zip(references, fast, strict=True) if quick is wanted] for wanted in (True, False)
    )
    mask = None if is_neutral(by_mask) else attention_bias(layout, by_mask, torch.empty(0, device=device))
    if other is not None:
        mask = other if mask is None else mask + other
    return mask, None if is_neutral(by_value) else value_scale(layout, by_value, torch.empty(0, device=device))
