"""Masks are made once a sampling, and for each kind of call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from comfyui_uso.nodes.sampling import known_inputs

LEFT = torch.zeros(1, 8, 8)
LEFT[..., :4] = 1


def test_masks_are_made_once(drawn: Callable[..., torch.Tensor], monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []

    def making(layout: Any, plan: Any, other: Any) -> Any:
        if plan.changes_attention:
            made.append(plan)
        return real(layout, plan, other)

    real = known_inputs.attention_inputs
    monkeypatch.setattr(known_inputs, "attention_inputs", making)
    dials: dict[str, Any] = {"style_strength": 0.5, "content": None, "cfg": 3.0}
    expected = drawn(style_region=LEFT, **dials)
    assert len(made) == 1  # of two steps
    assert not torch.equal(drawn(style_region=LEFT.flip(-1), **dials), expected)
    assert len(made) == 2
