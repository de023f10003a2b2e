"""Weight files of strangers: what is wrong with them is one sentence with the file's name, before anything is built."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from comfyui_uso.uso_model.autoencoder import Autoencoder
from comfyui_uso.uso_model.checkpoints import (
    load_autoencoder,
    load_projector,
    read_lora,
    read_metadata,
    read_safetensors,
    read_shapes,
    save_autoencoder,
    save_projector,
    write_safetensors,
)
from comfyui_uso.uso_model.checkpoints.diffusers import read_folder
from comfyui_uso.uso_model.checkpoints.fp8 import dequantize
from comfyui_uso.uso_model.checkpoints.sizes import block_count, block_numbers, shape_of
from comfyui_uso.uso_model.checkpoints.strict import CheckpointError
from comfyui_uso.uso_model.config import FLUX_AE
from comfyui_uso.uso_model.projector import HierarchicalProjector

SMALL = replace(FLUX_AE, ch=32, ch_mult=(1,), num_res_blocks=1, z_channels=4)
ONE = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}

HEADERS: dict[str, Any] = {
    "an offset that is a text": {"a": {**ONE, "data_offsets": [0, "4"]}},
    "an offset that is a list": {"a": {**ONE, "data_offsets": [0, [4]]}},
    "an offset that is null": {"a": {**ONE, "data_offsets": [0, None]}},
    "an offset that is negative": {"a": {**ONE, "data_offsets": [-4, 0]}},
    "no shape": {"a": {"dtype": "F32", "data_offsets": [0, 4]}},
    "a shape that is null": {"a": {**ONE, "shape": None}},
    "a shape that is a number": {"a": {**ONE, "shape": 1}},
    "a shape of another size": {"a": {**ONE, "shape": [2**40]}},
    "a shape that overflows": {"a": {**ONE, "shape": [2**63, 2**63]}},
    "a type that nobody knows": {"a": {**ONE, "dtype": "F99"}},
    "a type of another size": {"a": {**ONE, "dtype": "F64"}},
    "metadata that is a text": {"a": ONE, "__metadata__": "x"},
    "metadata that is a list": {"a": ONE, "__metadata__": ["x"]},
    "metadata with a number": {"a": ONE, "__metadata__": {"x": 1}},
    "an empty tensor with a long side": {"a": ONE, "b": {**ONE, "shape": [0, 2**40], "data_offsets": [4, 4]}},
    "a list": [],
    "null": None,
    "depth": b'{"a":' + b"[" * 5000,
}


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS)
@pytest.mark.parametrize("read", [read_shapes, read_metadata, read_safetensors, read_lora, load_projector])
def test_headers(read: Callable[[Path], Any], header: Any, tmp_path: Path) -> None:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    path = tmp_path / "odd.safetensors"
    path.write_bytes(struct.pack("<Q", len(raw)) + raw + bytes(4))
    with pytest.raises(CheckpointError, match=r"^odd\.safetensors ") as caught:
        read(path)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


def test_an_empty_marker_is_no_bomb(tmp_path: Path) -> None:
    """ComfyUI marks 8-bit files of the older layout by a tensor without elements."""
    write_safetensors(tmp_path / "m.safetensors", {"scaled_fp8": torch.empty(0), "a": torch.ones(2)})
    assert read_shapes(tmp_path / "m.safetensors")["scaled_fp8"] == (0,)


NOT_NUMBERS = {
    "bool": torch.ones(2, 2, dtype=torch.bool),
    "int64": torch.ones(2, 2, dtype=torch.int64),
    "uint8": torch.ones(2, 2, dtype=torch.uint8),
    "complex": torch.ones(2, 2, dtype=torch.complex64),
    "NaN": torch.full((2, 2), float("nan")),
    "infinity": torch.full((2, 2), float("inf")).half(),
    "NaN of 8 bits": torch.full((2, 2), float("nan")).to(torch.float8_e4m3fn),
}


@pytest.mark.parametrize("value", NOT_NUMBERS.values(), ids=NOT_NUMBERS)
def test_a_lora_holds_finite_numbers(value: torch.Tensor, tmp_path: Path) -> None:
    tensors = {"x.lora_A.weight": torch.ones(2, 2), "x.lora_B.weight": value}
    write_safetensors(tmp_path / "lora.safetensors", tensors)
    with pytest.raises(CheckpointError, match=r"lora\.safetensors (stores|has values in) x\.lora_B\.weight"):
        read_lora(tmp_path / "lora.safetensors")


def test_an_alpha_may_be_a_whole_number(tmp_path: Path) -> None:
    tensors = {"x.lora_A.weight": torch.ones(2, 2), "x.lora_B.weight": torch.ones(2, 2), "x.alpha": torch.tensor(4)}
    write_safetensors(tmp_path / "lora.safetensors", tensors)
    assert read_lora(tmp_path / "lora.safetensors").modules["x"].scale == 2
    write_safetensors(tmp_path / "lora.safetensors", {**tensors, "x.alpha": torch.tensor(1j)})
    with pytest.raises(CheckpointError, match=r"stores x\.alpha as complex64"):
        read_lora(tmp_path / "lora.safetensors")


@pytest.mark.parametrize("value", NOT_NUMBERS.values(), ids=NOT_NUMBERS)
def test_a_projector_holds_finite_numbers(value: torch.Tensor, tmp_path: Path) -> None:
    path = tmp_path / "projector.safetensors"
    save_projector(path, HierarchicalProjector(4, 2, 6, 8))
    tensors = {name: tensor.clone() for name, tensor in read_safetensors(path).items()}
    name = "feature_embedder.low_projection.bias"
    write_safetensors(path, {**tensors, name: value.flatten().repeat(2)})
    with pytest.raises(CheckpointError, match=r"projector\.safetensors .*low_projection\.bias"):
        load_projector(path)


@pytest.mark.parametrize(
    "told", [{"scale_factor": "x"}, {"shift_factor": None}, {"scale_factor": [1]}, {"scale_factor": 1e300}]
)
def test_the_settings_of_an_autoencoder_are_numbers(told: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "ae.safetensors"
    save_autoencoder(path, Autoencoder(SMALL))
    write_safetensors(path, {n: t.clone() for n, t in read_safetensors(path).items()}, {"config": json.dumps(told)})
    with pytest.raises(CheckpointError, match=r"metadata of ae\.safetensors has '(scale|shift)_factor'"):
        load_autoencoder(path)


def test_the_sizes_of_an_autoencoder_are_those_of_its_weights(tmp_path: Path) -> None:
    path = tmp_path / "ae.safetensors"
    save_autoencoder(path, Autoencoder(SMALL))
    tensors = {name: tensor.clone() for name, tensor in read_safetensors(path).items()}
    write_safetensors(path, tensors, {"config": json.dumps({"ch": 2**40, "ch_mult": [2**30], "num_res_blocks": 10**9})})
    assert load_autoencoder(path).config.ch == 32
    for name, value in (
        ("encoder.conv_in.weight", torch.zeros(0, 3, 3, 3)),
        ("encoder.conv_in.weight", torch.zeros(33, 3, 3, 3)),
        ("encoder.conv_in.weight", torch.tensor(1.0)),
        ("encoder.down.0.block.0.conv1.weight", torch.zeros(48, 32, 3, 3)),
    ):
        write_safetensors(path, {**tensors, name: value})
        with pytest.raises(CheckpointError, match=r"^ae\.safetensors "):
            load_autoencoder(path)


def test_sizes_are_read_with_a_bound() -> None:
    names = ["a.0.x", "a.10.x", "a.2.y", "a.2.z", "b.3.x", "a.x.1", "a." + "9" * 5000 + ".x"]
    assert block_numbers(names, "a.") == [0, 2, 10] and block_count(names, "a.", "file") == 3
    with pytest.raises(CheckpointError, match=r"file has 600 blocks a\.\*, expected at most 512"):
        block_count([f"a.{n}.x" for n in range(600)], "a.", "file")
    weights = {"w": torch.zeros(2, 3), "empty": torch.zeros(0, 3)}
    assert shape_of(weights, "w", 2, "file") == (2, 3)
    for name, sides in (("w", 1), ("empty", 2), ("absent", 2)):
        with pytest.raises(CheckpointError, match=r"^file (has|lacks)"):
            shape_of(weights, name, sides, "file")


@pytest.mark.parametrize(
    "note",
    [b"[" * 3000, b"5", b"{}", b'{"format": 1}', b"\xff", b" " * 5000],
    ids=["deep", "5", "{}", "1", "ff", "long"],
)
def test_notes_about_quantisation(note: bytes) -> None:
    stored = {"a.weight": torch.zeros(2, 2), "a.comfy_quant": torch.tensor(list(note), dtype=torch.uint8)}
    with pytest.raises(CheckpointError, match=r"the quantisation note a\.comfy_quant of file"):
        dequantize(stored, "file")


@pytest.mark.parametrize(
    "index",
    [
        "null",
        "[]",
        "{}",
        '{"weight_map": 5}',
        '{"weight_map": {"a": 5}}',
        "[" * 5000,
        '{"weight_map": {"a": "\\u0000"}}',
    ],
)
def test_an_index_of_shards(index: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors.index.json").write_text(index)
    with pytest.raises(CheckpointError):
        read_folder(tmp_path)
