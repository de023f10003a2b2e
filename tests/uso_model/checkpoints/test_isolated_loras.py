"""LoRA files whose references see only themselves: marked twice, and read by either mark in any layout."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from comfyui_uso.uso_model.checkpoints import (
    CheckpointError,
    Lora,
    LowRank,
    read_lora,
    read_metadata,
    read_safetensors,
    write_diffusion_model_lora,
    write_safetensors,
    write_uso_lora,
)
from comfyui_uso.uso_model.checkpoints.lora import concatenate, uso_modules
from comfyui_uso.uso_model.checkpoints.lora_files import lora_from_state_dict
from comfyui_uso.uso_model.checkpoints.marks import ISOLATED, is_isolated
from comfyui_uso.uso_model.isolation import is_mark, mark


def lora(isolated: bool) -> Lora:
    modules = {name: LowRank(torch.randn(1, 2), torch.randn(3, 1)) for name in uso_modules(19, 38)}
    return Lora(modules, isolated)


@pytest.mark.parametrize(
    ("write", "key"),
    [
        (write_uso_lora, "final_layer.linear.diff_b"),
        (write_diffusion_model_lora, "diffusion_model.final_layer.linear.diff_b"),
    ],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_written_marks_are_read(write: object, key: str, dtype: torch.dtype, tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    write(path, lora(True), {"a": "b"}, dtype)  # type: ignore[operator]
    assert read_lora(path).isolated and read_metadata(path) == {"a": "b", **ISOLATED}
    tensors = read_safetensors(path)
    assert tensors[key].shape == (64,) and tensors[key].dtype == torch.float32 and is_mark(tensors[key])
    assert len(read_lora(path).modules) == 228 - 76
    write(path, lora(False), {"a": "b"}, dtype)  # type: ignore[operator]
    assert not read_lora(path).isolated and read_metadata(path) == {"a": "b"} and key not in read_safetensors(path)


@pytest.mark.parametrize(
    "key",
    [
        "final_layer.linear.diff_b",
        "diffusion_model.final_layer.linear.diff_b",
        "lora_unet_final_layer_linear.diff_b",
        "transformer.proj_out.diff_b",
        "base_model.model.final_layer.linear.diff_b",
    ],
)
def test_either_mark_is_enough(key: str, tmp_path: Path) -> None:
    factors = {"double_blocks.0.img_attn.qkv.lora_A.weight": torch.ones(1, 2)}
    factors["double_blocks.0.img_attn.qkv.lora_B.weight"] = torch.ones(6, 1)
    by_tensor, by_metadata = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    write_safetensors(by_tensor, {**factors, key: mark(64)})
    write_safetensors(by_metadata, factors, ISOLATED)
    assert read_lora(by_tensor).isolated and read_lora(by_metadata).isolated
    assert is_isolated({}, read_safetensors(by_tensor)) and is_isolated(ISOLATED)


def test_only_the_mark_is_one() -> None:
    """Merges by strength and bfloat16 leave it one; a bias that a tool wrote, of zeros or of values, is none."""
    assert all(is_mark(tensor) for tensor in (mark(64), mark(64) * -0.3, mark(64).bfloat16()))
    bias = torch.randn(64)
    assert torch.equal(bias + mark(64), bias)
    others = [torch.zeros(64), torch.ones(64), torch.randn(64) * 1e-25, torch.full((64,), torch.inf), torch.zeros(0)]
    assert not any(is_mark(tensor) for tensor in [*others, mark(64).half(), torch.zeros(64, dtype=torch.int8)])


def test_a_bias_with_other_values_is_no_mark() -> None:
    tensors = {name: torch.ones(2, 2) for name in ("single_blocks.0.linear2.lora_A.weight",)}
    tensors["single_blocks.0.linear2.lora_B.weight"] = torch.ones(2, 2)
    for values in (torch.ones(64), torch.zeros(64)):
        other = {**tensors, "diffusion_model.final_layer.linear.diff_b": values}
        assert not is_isolated({}, other)
        with pytest.raises(CheckpointError, match="DoRA or similar key"):
            lora_from_state_dict(other, "x")
    assert not is_isolated({}, {**tensors, "diffusion_model.img_in.diff_b": mark(64)})


def test_joined_loras_see_as_the_second_does() -> None:
    assert concatenate(lora(False), lora(True)).isolated
    assert not concatenate(lora(False), lora(False)).isolated
