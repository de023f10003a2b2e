"""The name of a model follows its contents and nothing else."""

from __future__ import annotations

import shutil

import pytest
import torch
from comfyui_uso.trainer.encoders.fingerprint import fingerprint
from comfyui_uso.uso_model.checkpoints import write_safetensors


@pytest.fixture
def folder(tmp_path):
    """Write a folder with two shards and settings."""
    path = tmp_path / "model"
    for n in range(2):
        write_safetensors(path / f"model-{n}.safetensors", {f"w{n}": torch.randn(300, 100)})
    (path / "config.json").write_text('{"heads": 4}')
    return path


def test_a_file_may_be_moved(folder, tmp_path):
    before = fingerprint(folder / "model-0.safetensors")
    moved = shutil.copy(folder / "model-0.safetensors", tmp_path / "other name.safetensors")
    assert fingerprint(tmp_path / "other name.safetensors") == before and len(before) == 16
    assert fingerprint(folder / "model-1.safetensors") != before
    assert moved


@pytest.mark.parametrize("change", ["another training", "one weight", "shape", "dtype", "longer"])
def test_a_file_that_changes(change, tmp_path):
    weights = {"w": torch.linspace(-1, 1, 3000).view(30, 100)}
    changed = {
        "another training": {"w": weights["w"] + 1e-6},
        "one weight": {"w": weights["w"].clone().index_fill(0, torch.tensor([29]), 0.0)},
        "shape": {"w": weights["w"].view(100, 30)},
        "dtype": {"w": weights["w"].view(torch.int32)},
        "longer": {**weights, "bias": torch.zeros(1)},
    }[change]
    write_safetensors(tmp_path / "a.safetensors", weights)
    write_safetensors(tmp_path / "b.safetensors", changed)
    assert fingerprint(tmp_path / "a.safetensors") != fingerprint(tmp_path / "b.safetensors")


def test_a_small_part_of_a_large_file_is_read(tmp_path):
    """Another training moves all weights; a file is told from another by less than a third of a megabyte."""
    large = torch.zeros(4_000_000)
    write_safetensors(tmp_path / "a.safetensors", {"w": large})
    write_safetensors(tmp_path / "b.safetensors", {"w": large + 1e-7})
    assert fingerprint(tmp_path / "a.safetensors") != fingerprint(tmp_path / "b.safetensors")


@pytest.mark.parametrize("changed", ["model-1.safetensors", "config.json"])
def test_a_folder(folder, changed, tmp_path):
    before = fingerprint(folder)
    shutil.copytree(folder, tmp_path / "copy")
    (tmp_path / "copy/README.md").write_text("no part of the model")
    assert fingerprint(tmp_path / "copy") == before
    content = bytearray((tmp_path / "copy" / changed).read_bytes())
    content[-5] ^= 1
    (tmp_path / "copy" / changed).write_bytes(content)
    assert fingerprint(tmp_path / "copy") != before


def test_what_is_not_there(tmp_path):
    with pytest.raises(ValueError, match=r"t5\.safetensors is not there; correct"):
        fingerprint(tmp_path / "t5.safetensors")
    with pytest.raises(ValueError, match="has no files of a model in it; correct"):
        fingerprint(tmp_path)
