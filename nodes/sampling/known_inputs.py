"""Masks and values of one sampling, made once: they are alike on every step, and large where regions are drawn."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from ...uso_model.dials.bias import Layout
from .attention import AttentionInputs, attention_inputs
from .plan import Plan

__all__ = ["KnownInputs"]

_KEPT = 4
"""Kinds of calls that are remembered: both sides, and prompts in regions."""


@dataclass(frozen=True)
class _Known:
    """What a call had, and what its attention got."""

    layout: Layout
    plan: Plan
    other: Tensor | None
    inputs: AttentionInputs

    def serves(self, layout: Layout, plan: Plan, other: Tensor | None) -> bool:
        """Whether a call has the same; ComfyUI batches its tensors anew for each one."""
        pairs = [(getattr(self.plan, field.name), getattr(plan, field.name)) for field in fields(plan)]
        return self.layout == layout and all(_same(one, two) for one, two in [*pairs, (self.other, other)])


class KnownInputs:
    """What the attention of the last kinds of calls got."""

    def __init__(self) -> None:
        self._known: tuple[_Known, ...] = ()  # replaced, never changed: cards ask from threads of their own

    def of(self, layout: Layout, plan: Plan, other: Tensor | None) -> AttentionInputs:
        """Return what a call's attention gets; see `attention_inputs`."""
        if not plan.changes_attention and other is None:
            return attention_inputs(layout, plan, other)
        found = next((known for known in self._known if known.serves(layout, plan, other)), None)
        if found is None:
            found = _Known(layout, plan, other, attention_inputs(layout, plan, other))
            self._known = (*self._known, found)[-_KEPT:]
        return found.inputs


def _same(one: Any, two: Any) -> bool:
    if isinstance(one, Tensor) and isinstance(two, Tensor):
        return one.shape == two.shape and one.device == two.device and torch.equal(one, two)
    return not isinstance(one, Tensor) and not isinstance(two, Tensor) and bool(one == two)
