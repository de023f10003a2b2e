"""Projector files: 18 tensors, any sizes, strict."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from comfyui_uso.uso_model.checkpoints.files import read_safetensors, write_safetensors
from comfyui_uso.uso_model.checkpoints.projector import (
    load_projector,
    projector_from_state_dict,
    save_projector,
)
from comfyui_uso.uso_model.checkpoints.strict import CheckpointError
from torch import Tensor

Weights = dict[str, Tensor]


def test_the_released_projector(projector_shapes: Callable) -> None:
    published = projector_shapes(729, 64, 1152, 3072)
    assert len(published) == 18
    weights = {name: torch.empty(shape, device="meta") for name, shape in published.items()}
    projector = projector_from_state_dict(weights, "projector.safetensors", device="meta")
    assert sum(p.numel() for p in projector.parameters()) == 10_773_120
    sizes = (projector.tokens_in, projector.tokens_out, projector.dim_in, projector.dim_out)
    assert sizes == (729, 64, 1152, 3072)


@pytest.mark.parametrize("dtype", [None, torch.bfloat16])
def test_round_trip(tmp_path: Path, tiny_projector: Weights, dtype: torch.dtype | None) -> None:
    path = tmp_path / "projector.safetensors"
    write_safetensors(path, tiny_projector)
    save_projector(tmp_path / "again.safetensors", load_projector(path), {"made by": "a test"}, dtype)
    again = read_safetensors(tmp_path / "again.safetensors")
    assert again.keys() == tiny_projector.keys()
    assert all(torch.equal(again[name], tiny_projector[name].to(dtype or torch.float32)) for name in again)


def test_it_comes_out_of_a_file_with_the_lora(tiny_projector: Weights, tiny_lora: Weights) -> None:
    projector = projector_from_state_dict({**tiny_lora, **tiny_projector}, "both")
    assert projector.dim_out == 128


@pytest.mark.parametrize("name", ["mid_layer_norm.bias", "high_projection.weight", "high_embedding_linear.0.weight"])
def test_one_key_removed(tiny_projector: Weights, name: str) -> None:
    del tiny_projector[f"feature_embedder.{name}"]
    with pytest.raises(CheckpointError, match=rf"x .*{name}"):
        projector_from_state_dict(tiny_projector, "x")


def test_one_key_added(tiny_projector: Weights) -> None:
    with pytest.raises(CheckpointError, match=r"1 unknown key \(extra\)"):
        projector_from_state_dict({**tiny_projector, "feature_embedder.extra": torch.zeros(1)}, "x")
    with pytest.raises(CheckpointError, match="not a USO style projector"):
        projector_from_state_dict({**tiny_projector, "stranger": torch.zeros(1)}, "x")


def test_one_key_misshapen(tiny_projector: Weights) -> None:
    tiny_projector["feature_embedder.low_projection.weight"] = torch.zeros(64, 10)
    with pytest.raises(CheckpointError, match=r"low_projection\.weight: got \(64, 10\), expected \(128, 10\)"):
        projector_from_state_dict(tiny_projector, "x")


def test_a_lora_where_a_projector_belongs(tmp_path: Path, tiny_lora: Weights) -> None:
    write_safetensors(tmp_path / "lora.safetensors", tiny_lora)
    with pytest.raises(
        CheckpointError, match=r"lora\.safetensors is not a USO style projector but looks like a USO LoRA"
    ):
        load_projector(tmp_path / "lora.safetensors")
