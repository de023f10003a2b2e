"""The hierarchical projector against its formula, and its refusals."""

from __future__ import annotations

import pytest
import torch
from comfyui_uso.uso_model.checkpoints.projector import projector_from_state_dict
from comfyui_uso.uso_model.projector import HierarchicalProjector
from comfyui_uso.uso_model.style import StyleFeatures
from torch import Tensor


@torch.no_grad()
def test_equals_the_formula_written_as_loops(tiny_projector: dict[str, Tensor]) -> None:
    projector = projector_from_state_dict(tiny_projector, "tiny")
    levels = torch.randn(3, 2, 9, 10, generator=torch.Generator().manual_seed(0))
    got = projector(StyleFeatures(*levels))
    assert got.shape == (2, 12, 128)
    for place, level in enumerate(("high", "mid", "low")):
        at = f"feature_embedder.{level}_"
        weight, bias = (
            tiny_projector[f"{at}embedding_linear.0.weight"],
            tiny_projector[f"{at}embedding_linear.0.bias"],
        )
        for b in range(2):
            for s in range(4):
                mixed = sum(weight[s, n] * levels[place, b, n] for n in range(9)) + bias[s]
                mixed = mixed / (1 + torch.exp(-mixed))
                normed = (mixed - mixed.mean()) / torch.sqrt(((mixed - mixed.mean()) ** 2).mean() + 1e-5)
                normed = normed * tiny_projector[f"{at}layer_norm.weight"] + tiny_projector[f"{at}layer_norm.bias"]
                token = tiny_projector[f"{at}projection.weight"] @ normed + tiny_projector[f"{at}projection.bias"]
                assert torch.allclose(got[b, 4 * place + s], token, atol=1e-5)


def test_sizes_of_the_released_projector() -> None:
    projector = HierarchicalProjector(729, 64, 1152, 3072, device="meta")
    assert sum(p.numel() for p in projector.parameters()) == 10_773_120
    sizes = HierarchicalProjector.sizes(projector.state_dict())
    assert sizes == {"tokens_in": 729, "tokens_out": 64, "dim_in": 1152, "dim_out": 3072}


def test_another_vision_model_is_refused() -> None:
    projector = HierarchicalProjector(9, 4, 10, 128)
    with pytest.raises(ValueError, match="expects 9 SigLIP tokens of width 10, got 16 of width 10"):
        projector(StyleFeatures(*torch.zeros(3, 1, 16, 10)))
