"""torch.compile beside the reader: what was traced without a patch must not be taken again with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from comfy.patcher_extension import WrappersMP

from ..graph.host_types import Model

__all__ = ["trace_anew"]

_WRAPPER = "torch.compile"
"""Key of ComfyUI's compile wrapper, see comfy_api/torch_helpers/torch_compile.py."""

_traced: list[tuple[tuple[str, int], ...]] = []
"""The patches with which the process has traced a network last; empty: none of ours yet."""


def trace_anew(model: Model, ours: Mapping[str, Sequence[Any]]) -> None:
    """Forget traces if a compiled network is about to run with other kinds of patches than the last one.

    Args:
        model: a MODEL.
        ours: patches that its calls get besides its own.

    ComfyUI leaves transformer options out of what torch.compile checks before it takes a trace again, and all models of
    a process share their traces. Without this, block weights would have no effect after a run without them.
    """
    if not model.get_wrappers(WrappersMP.APPLY_MODEL, _WRAPPER) or not (ours or _traced):
        return
    patches = model.model_options.get("transformer_options", {}).get("patches", {})
    found = tuple(sorted((name, len(parts)) for part in (patches, ours) for name, parts in part.items()))
    if _traced != [found]:
        torch.compiler.reset()
        _traced[:] = [found]
