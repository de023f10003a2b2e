"""The patch inside attention through which text and picture see isolated references."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor

from ...graph.keys import READING
from .reading import Reading

__all__ = ["patch_isolated"]


@torch.compiler.disable
def patch_isolated(
    q: Tensor, k: Tensor, v: Tensor, pe: Any = None, attn_mask: Any = None, extra_options: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Put the references' keys and values `b heads L D` of a block beside those of text and picture."""
    options = extra_options or {}
    reading: Reading | None = options.get(READING)
    if reading is None:
        return {}
    block = (options["block_type"], options["block_index"])
    return reading.joined.put_back(q, k, v, pe, partial(reading.write, block), options)
