"""Safetensors files: round trips, refusals that name the file, writes that are all or nothing."""

from __future__ import annotations

import io
import os
import pickle
import struct
from pathlib import Path

import pytest
import torch
from comfyui_uso.uso_model.checkpoints.files import (
    atomic_write,
    read_metadata,
    read_safetensors,
    read_shapes,
    write_safetensors,
)
from comfyui_uso.uso_model.checkpoints.strict import CheckpointError

DTYPES = [torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2, torch.uint8]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    write_safetensors(path, {"a": torch.arange(12.0).reshape(3, 4), "b": torch.ones(2)}, {"made by": "a test"})
    return path


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_round_trip(tmp_path: Path, dtype: torch.dtype) -> None:
    tensor = torch.arange(6).reshape(2, 3).to(dtype)
    write_safetensors(tmp_path / "x.safetensors", {"x": tensor, "t": tensor.t(), "scalar": tensor[1, 1]})
    got = read_safetensors(tmp_path / "x.safetensors")
    assert got["x"].dtype == dtype
    assert torch.equal(got["x"].float(), tensor.float())
    assert torch.equal(got["t"].float(), tensor.t().float())
    assert got["scalar"].shape == ()


def test_header_tells_shapes_and_metadata(file: Path) -> None:
    assert read_shapes(file) == {"a": (3, 4), "b": (2,)}
    assert read_metadata(file) == {"made by": "a test"}


def test_shared_memory_is_written_apart(tmp_path: Path) -> None:
    whole = torch.arange(10.0)
    write_safetensors(tmp_path / "x.safetensors", {"whole": whole, "same": whole, "part": whole[3:5]})
    got = read_safetensors(tmp_path / "x.safetensors")
    assert torch.equal(got["same"], whole) and got["part"].tolist() == [3, 4]


@pytest.mark.parametrize("keep", [1, 7, 20, -1, -40])
def test_truncated(file: Path, keep: int) -> None:
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(CheckpointError, match=r"^model\.safetensors is truncated.*again\.$"):
        read_safetensors(file)


def _pickled() -> bytes:
    return pickle.dumps({"a": 1}, protocol=2)


def _torch_saved() -> bytes:
    buffer = io.BytesIO()
    torch.save({"a": torch.zeros(1)}, buffer)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"is empty \(0 bytes\)"),
        (_pickled(), "is a pickle file, which can run any code"),
        (_torch_saved(), "zipped pickle"),
        (b"GGUF" + bytes(60), "is a GGUF file"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS pointer"),
        (b"\n<!DOCTYPE html><html>" + bytes(60), "web page"),
        (os.urandom(7) + b"\xff" + bytes(100), "is not a safetensors file"),
        (struct.pack("<Q", 10) + b"{not json}" + bytes(50), "damaged safetensors header"),
        (struct.pack("<Q", 9) + b'{"a": {}}' + bytes(50), "damaged safetensors header"),
        (struct.pack("<Q", 9) + b'{"a": 12}' + bytes(50), "damaged safetensors header"),
    ],
)
def test_other_content_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "odd.safetensors"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=message) as caught:
        read_safetensors(path)
    assert str(caught.value).startswith("odd.safetensors") and "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", ["pt", "pth", "ckpt", "bin", "PT"])
def test_pickle_names_are_refused_unread(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"model.{suffix}"
    path.write_bytes(b"anything")
    with pytest.raises(CheckpointError, match="pickle"):
        read_safetensors(path)


def test_an_offset_outside_the_data_is_refused(tmp_path: Path) -> None:
    header = b'{"a":{"dtype":"F32","shape":[9],"data_offsets":[0,8]}}'
    path = tmp_path / "odd.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(8))
    with pytest.raises(CheckpointError, match=r"odd\.safetensors cannot be read as safetensors"):
        read_safetensors(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"nowhere\.safetensors is not there"):
        read_safetensors(tmp_path / "nowhere.safetensors")


def test_a_failed_write_leaves_the_old_file_and_nothing_else(file: Path) -> None:
    before = file.read_bytes()

    def fail(temporary: str) -> None:
        Path(temporary).write_bytes(b"half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        atomic_write(file, fail)
    assert file.read_bytes() == before
    assert os.listdir(file.parent) == [file.name]


def test_a_write_replaces_and_leaves_nothing_else(file: Path) -> None:
    write_safetensors(file, {"c": torch.zeros(1)})
    assert read_shapes(file) == {"c": (1,)}
    assert os.listdir(file.parent) == [file.name]


def test_folders_are_made(tmp_path: Path) -> None:
    write_safetensors(tmp_path / "a" / "b.safetensors", {"c": torch.zeros(1)})
    assert read_shapes(tmp_path / "a" / "b.safetensors") == {"c": (1,)}


def test_metadata_must_be_strings(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="strings only"):
        write_safetensors(tmp_path / "x.safetensors", {"a": torch.zeros(1)}, {"rank": 4})  # type: ignore[dict-item]


def test_nothing_to_write_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no tensors"):
        write_safetensors(tmp_path / "x.safetensors", {})
