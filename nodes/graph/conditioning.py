"""Pure edits of CONDITIONING lists: each returns a new list and leaves the given one alone."""

from __future__ import annotations

from typing import Any

import torch

from ..sampling.hooks import COUNTS, STYLE
from ..sockets import Content, Style
from .dials import CONTENT_DIALS, STYLE_DIALS, TEXT_STRENGTH, Dial, appended

__all__ = ["Conditioning", "emptied", "with_content", "with_guidance", "with_style", "with_text_strength"]

Conditioning = list[list[Any]]

REFERENCES = "reference_latents"
METHOD = "reference_latents_method"
UNO_METHOD = "uxo"
"""ComfyUI's name for UNO's and USO's diagonal positions (UnoPE)."""


def with_style(conditioning: Conditioning, style: Style, dial: Dial | None = None) -> Conditioning:
    """Append style tokens to every entry, after those it already has.

    Args:
        conditioning: list of entries.
        style: one or several style pictures.
        dial: what is set on all of them; None: nothing.
    """
    out = []
    for text, values in conditioning:
        old = values.get(STYLE)
        tokens = style.tokens if old is None else torch.cat([old, style.tokens.to(old)], dim=1)
        had = values.get(COUNTS, ())
        dials = appended(values, STYLE_DIALS, len(had), style_dials(style, dial or {}))
        out.append([text, {**values, STYLE: tokens, COUNTS: (*had, *style.counts), **dials}])
    return out


def style_dials(style: Style, dial: Dial) -> list[Dial]:
    """Return the dials of each picture of a style: what is set on all, and its own tokens' strengths."""
    if style.bias is None:
        return [dial] * len(style.counts)
    return [{**dial, "tokens": tokens} for tokens in style.bias.split(style.counts)]


def with_content(conditioning: Conditioning, content: Content, dial: Dial | None = None) -> Conditioning:
    """Append reference latents to every entry and ask for USO's positions, in ComfyUI's own keys.

    Args:
        conditioning: list of entries.
        content: one or several subject pictures.
        dial: what is set on all of them; None: nothing.
    """
    out = []
    for text, values in conditioning:
        had = values.get(REFERENCES, ())
        own = {} if content.place is None else {"place": content.place}
        dials = appended(values, CONTENT_DIALS, len(had), [{**(dial or {}), **own}] * len(content.latents))
        out.append([text, {**values, REFERENCES: [*had, *content.latents], METHOD: UNO_METHOD, **dials}])
    return out


def with_text_strength(conditioning: Conditioning, strength: float) -> Conditioning:
    """Set how much the prompt's tokens count in every entry."""
    return [[text, {**values, TEXT_STRENGTH: strength}] for text, values in conditioning]


def with_guidance(conditioning: Conditioning, guidance: float) -> Conditioning:
    """Set FLUX's distilled guidance on every entry."""
    return [[text, {**values, "guidance": guidance}] for text, values in conditioning]


def emptied(conditioning: Conditioning) -> Conditioning:
    """Return zero text without references, what Conditioning Zero Out gives for the bare prompt."""
    out = []
    for text, values in conditioning:
        pooled = values.get("pooled_output")
        out.append([torch.zeros_like(text), {} if pooled is None else {"pooled_output": torch.zeros_like(pooled)}])
    return out
