"""ComfyUI's three ways to give a prompt an area, over a picture of `PIXELS` a side."""

from __future__ import annotations

from typing import Any

import torch
from comfyui_uso.nodes.graph.conditioning import Entries

import nodes as comfy_nodes

__all__ = ["AREAS", "PIXELS", "SIDE"]

SIDE = 8
"""Latent pixels of each side of the picture."""
PIXELS = 8 * SIDE


def _in_pixels(conds: Entries, start: float = 0.0, share: float = 1.0, strength: float = 1.0) -> Entries:
    """Return the prompt in a column of the picture."""
    x, width = round(start * PIXELS), round(share * PIXELS)
    return comfy_nodes.ConditioningSetArea().append(conds, width, PIXELS, x, 0, strength)[0]


def _in_percent(conds: Entries, start: float = 0.0, share: float = 1.0, strength: float = 1.0) -> Entries:
    return comfy_nodes.ConditioningSetAreaPercentage().append(conds, share, 1.0, start, 0.0, strength)[0]


def _in_bounds(conds: Entries, start: float = 0.0, share: float = 1.0, strength: float = 1.0) -> Entries:
    mask = torch.zeros(1, PIXELS, PIXELS)
    mask[:, :, round(start * PIXELS) : round((start + share) * PIXELS)] = 1
    return comfy_nodes.ConditioningSetMask().append(conds, mask, "mask bounds", strength)[0]


AREAS: dict[str, Any] = {"area": _in_pixels, "percentage": _in_percent, "mask bounds": _in_bounds}
"""Each takes a conditioning, where the column starts and its width as shares of the picture, and a strength."""
