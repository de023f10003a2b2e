"""Pure edits of CONDITIONING lists: each returns a new list and leaves the given one alone."""

from __future__ import annotations

from typing import Any

import torch

from .reference_hooks import COUNTS, STYLE
from .sockets import Content, Style

__all__ = ["Conditioning", "emptied", "with_content", "with_guidance", "with_style"]

Conditioning = list[list[Any]]

REFERENCES = "reference_latents"
METHOD = "reference_latents_method"
UNO_METHOD = "uxo"
"""ComfyUI's name for UNO's and USO's diagonal positions (UnoPE)."""


def with_style(conditioning: Conditioning, style: Style) -> Conditioning:
    """Append style tokens to every entry, after those it already has."""
    out = []
    for text, values in conditioning:
        old = values.get(STYLE)
        tokens = style.tokens if old is None else torch.cat([old, style.tokens.to(old)], dim=1)
        out.append([text, {**values, STYLE: tokens, COUNTS: (*values.get(COUNTS, ()), *style.counts)}])
    return out


def with_content(conditioning: Conditioning, content: Content) -> Conditioning:
    """Append reference latents to every entry and ask for USO's positions, in ComfyUI's own keys."""
    return [
        [text, {**values, REFERENCES: [*values.get(REFERENCES, ()), *content.latents], METHOD: UNO_METHOD}]
        for text, values in conditioning
    ]


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
