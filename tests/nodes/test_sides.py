"""Which conditioning gets the references, and which of them share a batch."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from comfyui_uso.nodes.apply import Apply
from comfyui_uso.nodes.sockets import Style


def test_a_style_on_the_negative_alone_pushes_away(drawn: Any) -> None:
    away, towards, without = (
        drawn(content=None, style_on=side, cfg=3.0) if side else drawn(style=None, content=None, cfg=3.0)
        for side in ("negative", "positive", None)
    )
    cosine = torch.nn.functional.cosine_similarity((away - without).flatten(), (towards - without).flatten(), dim=0)
    assert cosine < 0


def test_batched_runs_both_sides_at_once(base_model: Any, drawn: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    forward, batches = base_model.model.diffusion_model.forward_orig, []
    monkeypatch.setattr(
        base_model.model.diffusion_model,
        "forward_orig",
        lambda img, *a, **k: batches.append(img.shape[0]) or forward(img, *a, **k),
    )
    shared = drawn(content=None, style_on="positive, batched", cfg=3.0)
    assert set(batches) == {2}
    batches.clear()
    assert torch.allclose(shared, drawn(content=None, cfg=3.0), atol=1e-4)
    assert set(batches) == {1}


def test_different_strengths_in_one_batch_stay_apart(base_model: Any, prompt: Any, sample: Any, style: Style) -> None:
    """Positive and negative of one length run as one batch, each with its own bias."""
    model, positive, _ = Apply.execute(base_model, prompt(), None, style, style_strength=0.2).result
    _, negative, _ = Apply.execute(base_model, prompt(4), None, style, style_strength=3.0).result
    together = sample(model, positive, negative, cfg=3.0)
    _, longer, _ = Apply.execute(base_model, prompt(4, 7), None, style, style_strength=3.0).result
    assert not torch.allclose(together, sample(model, positive, longer, cfg=3.0), atol=1e-5)
    swapped = sample(model, negative, positive, cfg=3.0)
    assert not torch.allclose(together, swapped, atol=1e-3)
    alone = sample(model, positive, negative, cfg=1.0)
    assert torch.allclose(alone, sample(model, positive, longer, cfg=1.0), atol=1e-5)


def test_text_strength_leaves_the_batch_whole(base_model: Any, drawn: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    forward, batches = base_model.model.diffusion_model.forward_orig, []
    monkeypatch.setattr(
        base_model.model.diffusion_model,
        "forward_orig",
        lambda img, *a, **k: batches.append(img.shape[0]) or forward(img, *a, **k),
    )
    drawn(content=None, style_on="positive, batched", text_strength=0.5, cfg=3.0)
    assert set(batches) == {2}
