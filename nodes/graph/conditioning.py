"""Pure edits of CONDITIONING lists: each returns a new list and leaves the given one alone."""

from __future__ import annotations

from typing import Any

import torch

from ..sockets import Content, Style
from .dials import Dial, appended
from .guard import guarded
from .keys import (
    AREA_KEYS,
    CONTENT_DIALS,
    COUNTS,
    END,
    GUIDANCE,
    METHOD,
    MODEL_CONDS,
    POOLED,
    REFERENCES,
    START,
    STYLE,
    STYLE_DIALS,
    TEXT_STRENGTH,
    UNO_METHOD,
)

__all__ = ["Entries", "emptied", "with_content", "with_guidance", "with_style", "with_text_strength"]

Entries = list[list[Any]]
"""A CONDITIONING: one `[text tokens, values]` for each prompt, area and part of the sampling."""


def with_style(entries: Entries, dial: Dial, *, style: Style) -> Entries:
    """Append style tokens to every entry, after those it already has.

    Args:
        entries: a CONDITIONING.
        dial: what is set on all of them.
        style: one or several style pictures.
    """
    out = []
    for text, values in entries:
        old = values.get(STYLE)
        tokens = style.tokens if old is None else torch.cat([old, style.tokens.to(old)], dim=1)
        had = values.get(COUNTS, ())
        dials = appended(values, STYLE_DIALS, len(had), style.dials(dial))
        out.append([text, guarded({**values, STYLE: tokens, COUNTS: (*had, *style.counts), **dials})])
    return out


def with_content(entries: Entries, dial: Dial, *, content: Content) -> Entries:
    """Append reference latents to every entry and ask for USO's positions, in ComfyUI's own keys.

    Where no dial is set, ComfyUI's own FLUX does all that they need: any MODEL draws them, and no guard stands there.

    Args:
        entries: a CONDITIONING.
        dial: what is set on all of them.
        content: one or several subject pictures.
    """
    out = []
    for text, values in entries:
        had = values.get(REFERENCES, ())
        dials = appended(values, CONTENT_DIALS, len(had), content.dials(dial))
        values = {**values, REFERENCES: [*had, *content.latents], METHOD: UNO_METHOD, **dials}
        out.append([text, guarded(values) if dials else values])
    return out


def with_text_strength(entries: Entries, strength: float) -> Entries:
    """Set how much the prompt's tokens count in every entry."""
    return [[text, guarded({**values, TEXT_STRENGTH: strength})] for text, values in entries]


def with_guidance(entries: Entries, guidance: float) -> Entries:
    """Set FLUX's distilled guidance on every entry."""
    return [[text, {**values, GUIDANCE: guidance}] for text, values in entries]


def emptied(entries: Entries) -> Entries:
    """Return one entry of zero text, what Conditioning Zero Out gives for the bare prompt.

    It keeps the first entry's values, guidance among them, but for references and for what limits the entry to a part
    of the picture or of the sampling: however many entries the prompt has, its empty counterpart is one.
    """
    ours = (STYLE, COUNTS, STYLE_DIALS, CONTENT_DIALS, TEXT_STRENGTH)
    left_out = {*ours, MODEL_CONDS, REFERENCES, METHOD, START, END, *AREA_KEYS}
    return [
        [
            torch.zeros_like(text),
            {
                name: torch.zeros_like(value) if name == POOLED and value is not None else value
                for name, value in values.items()
                if name not in left_out
            },
        ]
        for text, values in entries[:1]
    ]
