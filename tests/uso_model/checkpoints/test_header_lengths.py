"""The first bytes of a safetensors file are a length, and no length is taken for the magic bytes of another format."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
import safetensors.torch
import torch
from comfyui_uso.uso_model.checkpoints import kind_of, load_projector, read_lora, read_safetensors, save_projector
from comfyui_uso.uso_model.checkpoints.files import read_metadata, read_shapes
from comfyui_uso.uso_model.checkpoints.kinds import looks_like
from comfyui_uso.uso_model.checkpoints.refusals import foreign_format
from comfyui_uso.uso_model.checkpoints.strict import CheckpointError
from comfyui_uso.uso_model.projector import HierarchicalProjector

from ...machine import at_most

PICKLE = [640, 896, 1152, 1408]
"""Lengths whose first bytes are 80 02 .. 80 05."""

WEB = [0x3C20, 0x3C0A, 0x3C09, 0x3C0D]
"""Lengths that begin with white space and `<`; of them a multiple of eight is the first alone."""

DANGEROUS = [*PICKLE, 0x3C20, 0x3C20 + 65536, 65536 + 640, 2 * 65536 + 1408]


def padded(path: Path, length: int, tensors: dict[str, torch.Tensor], **metadata: str) -> Path:
    """Write a file whose header has just this length."""
    safetensors.torch.save_file(tensors, path, {"pad": "", **metadata})
    missing = length - struct.unpack("<Q", path.read_bytes()[:8])[0]
    assert missing >= 0, "the tensors' names alone are longer"
    safetensors.torch.save_file(tensors, path, {"pad": "x" * missing, **metadata})
    for spare in range(8):  # the header is padded to a multiple of eight
        if struct.unpack("<Q", path.read_bytes()[:8])[0] == length:
            return path
        safetensors.torch.save_file(tensors, path, {"pad": "x" * (missing - spare), **metadata})
    raise AssertionError(f"no header of {length} bytes")


def test_no_header_length_is_taken_for_another_format() -> None:
    for length in range(8 * 65536):
        head = struct.pack("<Q", length) + b'{"a":{"dtype":"F32"'
        assert foreign_format(head, ".safetensors") is None, length
    for length in (*PICKLE, *WEB, *range(0, 65536, 8)):
        assert foreign_format(struct.pack("<Q", length)) is None, "also of a file cut after its length"


@pytest.mark.parametrize("length", DANGEROUS)
def test_every_reader_takes_the_lengths_that_look_like_another_format(length: int, tmp_path: Path) -> None:
    down, up = torch.ones(2, 4), torch.ones(6, 2)
    lora = {"diffusion_model.a.lora_A.weight": down, "diffusion_model.a.lora_B.weight": up}
    path = padded(tmp_path / "m.safetensors", length, lora, format="uso-style-1")
    assert path.read_bytes()[:8] == struct.pack("<Q", length)
    assert read_shapes(path) == {name: tuple(t.shape) for name, t in lora.items()}
    assert read_metadata(path)["format"] == "uso-style-1"
    assert torch.equal(read_safetensors(path)["diffusion_model.a.lora_A.weight"], down)
    assert read_lora(path).modules["a"].rank == 2


def test_a_projector_is_read_whatever_its_header_is_as_long_as(tmp_path: Path) -> None:
    projector = HierarchicalProjector(tokens_in=4, tokens_out=2, dim_in=6, dim_out=8)
    save_projector(tmp_path / "p.safetensors", projector)
    path = padded(tmp_path / "q.safetensors", 65536 + 640, read_safetensors(tmp_path / "p.safetensors"))
    assert torch.equal(load_projector(path).high_projection.weight, projector.high_projection.weight)


def test_every_length_that_the_official_writer_gives_is_read(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    found = set()
    for spare in range(0, 65536, 8 * 61):
        safetensors.torch.save_file({"t": torch.zeros(1)}, path, {"pad": "x" * spare})
        found.add(struct.unpack("<Q", path.read_bytes()[:8])[0])
        assert read_shapes(path) == {"t": (1,)}
    assert len(found) > 130


@pytest.mark.parametrize("length", DANGEROUS)
def test_a_cut_file_with_such_a_length_is_called_cut(length: int, tmp_path: Path) -> None:
    path = padded(tmp_path / "m.safetensors", length, {"t": torch.zeros(64)})
    whole = path.read_bytes()
    for kept in (8, 40, length, length + 20):
        path.write_bytes(whole[:kept])
        with pytest.raises(CheckpointError, match="is truncated"):
            read_safetensors(path)


def test_safetensors_is_read_under_any_name(tmp_path: Path) -> None:
    assert read_shapes(padded(tmp_path / "model.bin", 640, {"t": torch.zeros(1)})) == {"t": (1,)}


def test_a_file_of_many_keys_is_recognised_quickly(tmp_path: Path) -> None:
    path = tmp_path / "many.safetensors"
    safetensors.torch.save_file({f"blocks.{n}.some.layer.weight": torch.zeros(1) for n in range(50_000)}, path)
    with at_most(2):
        shapes = read_shapes(path)
        assert kind_of(shapes) == "unknown" and "unknown kind" in looks_like(shapes)
    assert len(shapes) == 50_000
