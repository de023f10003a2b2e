"""The attention mask of one model call: strengths, regions, and masks that other nodes have made for text and picture.

FLUX hands `attention_mask` to every block. Others (Redux with a strength) make it for `[text, image]`; with style tokens before
and content references behind it has to grow on both sides, which ComfyUI itself does not do.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..uso_model.dials.bias import OFF, Layout, Reference, attention_bias

__all__ = ["grown", "layout_of", "mask_of_call"]

PATCH = 2
"""Latent cells along a token's side."""


def layout_of(x: Tensor, context: Tensor, style: Tensor | None, references: Sequence[Tensor]) -> Layout:
    """Return how many tokens of each sort a call has.

    Args:
        x: latents `b c h w`.
        context: text `b L C`.
        style: style tokens `b L D`.
        references: content latents `b c h w`.
    """
    grid = tuple(-(-side // PATCH) for side in x.shape[-2:])
    tokens = tuple((-(-ref.shape[-2] // PATCH)) * (-(-ref.shape[-1] // PATCH)) for ref in references)
    return Layout(0 if style is None else style.shape[1], context.shape[1], (grid[0], grid[1]), tokens)


def mask_of_call(
    layout: Layout,
    style_bias: Tensor | None,
    content_bias: Tensor | None,
    regions: Tensor | None,
    style_counts: Sequence[int],
    other: Tensor | None,
) -> Tensor | None:
    """Return the mask `b 1 1 L` or `b 1 L L` of a call, None where nothing asks for one.

    Args:
        layout: of the sequence.
        style_bias: logarithm of the strength of every style token, `b L`.
        content_bias: of every content reference, `b R`.
        regions: where each style picture and each content reference counts, `b S+R h w`.
        style_counts: tokens of each style picture.
        other: what another node has put there for text and picture, bool or added to the scores.
    """
    references = _references(layout, style_bias, content_bias, regions, style_counts)
    mask = None
    if references:
        like = next(t for t in (style_bias, content_bias, regions) if t is not None)
        mask = attention_bias(layout, references, like)
    if other is None:
        return mask
    other = grown(other, layout)
    return other if mask is None else mask + other


def _references(
    layout: Layout,
    style_bias: Tensor | None,
    content_bias: Tensor | None,
    regions: Tensor | None,
    style_counts: Sequence[int],
) -> list[Reference]:
    if style_bias is None and content_bias is None and regions is None:
        return []
    found, start = [], 0
    for number, count in enumerate(style_counts):
        bias = 0.0 if style_bias is None else style_bias[0, start : start + count]
        found.append(Reference(start, count, bias, None if regions is None else regions[:, number]))
        start += count
    start = layout.length - sum(layout.references)
    for number, count in enumerate(layout.references):
        bias = 0.0 if content_bias is None else content_bias[0, number]
        region = None if regions is None else regions[:, len(style_counts) + number]
        found.append(Reference(start, count, bias, region))
        start += count
    return found


def grown(mask: Tensor, layout: Layout) -> Tensor:
    """Return a mask made for `[text, image]` as one for `[style, text, image, references]`, added to the scores.

    What it says nothing about may attend freely. A mask that already has the right size is only made additive.

    Raises:
        ValueError: it has another size.
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
        raise ValueError(
            f"Got an attention mask for {columns} tokens on the conditioning, expected one for the {inner} tokens of "
            "text and picture: put the node that makes it before USO Apply, and use the size that you draw at."
        )
    pad = (before, behind) if rows == 1 else (before, behind, before, behind)
    return torch.nn.functional.pad(mask, pad)
