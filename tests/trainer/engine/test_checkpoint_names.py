"""What lies in a run's folder and is no checkpoint, or no whole one, is left alone and never ends a run."""

from __future__ import annotations

import json
import pickle
import shutil
import struct

import pytest
import torch
from comfyui_uso.trainer.engine import checkpoint
from comfyui_uso.trainer.engine.prune import prune
from comfyui_uso.uso_model.checkpoints.files import sha256_of
from comfyui_uso.uso_model.errors import UserError


def save(folder, step, weights=None):
    weight = torch.full((2, 2), float(step))
    optimizer = torch.optim.AdamW([torch.nn.Parameter(weight)]).state_dict()
    return checkpoint.save(folder, step, weights or {"w": weight}, None, optimizer)


OTHERS = [
    "checkpoint-0000002-backup",
    "checkpoint-0000002 (copy)",
    "checkpoint-2",
    "checkpoint-00000002",
    "checkpoint--000002",
    "checkpoint-0000002.old",
    "checkpoint-",
    "checkpoint-" + "\N{ARABIC-INDIC DIGIT TWO}" * 7,
    "checkpoint-" + "9" * 200,
]


@pytest.mark.parametrize("name", OTHERS)
def test_a_copy_beside_a_checkpoint_is_left_alone(name, tmp_path, caplog):
    save(tmp_path, 2)
    shutil.copytree(tmp_path / "checkpoint-0000002", tmp_path / name)
    save(tmp_path, 4)  # as a run that trains on does
    prune(tmp_path, keep=1, keep_every=None, keep_weights=0, saved=checkpoint.latest(tmp_path).step)
    assert [found.step for found in checkpoint.checkpoints(tmp_path)] == [4]
    assert checkpoint.latest(tmp_path).step == 4 and checkpoint.latest(tmp_path, 2) is None
    assert (tmp_path / name / "COMPLETE").is_file() and not caplog.text


def test_a_file_or_a_link_of_that_name_is_left_alone(tmp_path):
    save(tmp_path, 1)
    (tmp_path / "checkpoint-0000003").write_text("a file")
    (tmp_path / "checkpoint-0000002").symlink_to(tmp_path / "checkpoint-0000001")
    save(tmp_path, 4)
    prune(tmp_path, keep=1, keep_every=None, keep_weights=0, saved=checkpoint.latest(tmp_path).step)
    assert checkpoint.latest(tmp_path).step == 4 and (tmp_path / "checkpoint-0000003").read_text() == "a file"


def test_steps_are_ordered_as_numbers(tmp_path):
    for step in (9_999_999, 10_000_000):
        save(tmp_path, step)
    assert checkpoint.latest(tmp_path).step == 10_000_000
    prune(tmp_path, keep=1, keep_every=None, keep_weights=0, saved=checkpoint.latest(tmp_path).step)
    assert [found.step for found in checkpoint.checkpoints(tmp_path)] == [10_000_000]


DAMAGED = {
    "empty": lambda told: "",
    "null": lambda told: "null",
    "list": lambda told: "[]",
    "number": lambda told: "5",
    "deep": lambda told: "[" * 5000,
    "binary": lambda told: "\udcff",
    "no hashes": lambda told: {**told, "sha256": {}},
    "null hashes": lambda told: {**told, "sha256": None},
    "a list of hashes": lambda told: {**told, "sha256": list(told["sha256"].values())},
    "no weights": lambda told: {**told, "sha256": {"optimizer.pt": told["sha256"]["optimizer.pt"]}},
    "a number as hash": lambda told: {**told, "sha256": {**told["sha256"], "optimizer.pt": 5}},
    "a short hash": lambda told: {**told, "sha256": {**told["sha256"], "optimizer.pt": "ab"}},
    "another file": lambda told: {**told, "sha256": {**told["sha256"], "../log.jsonl": "0" * 64}},
    "no step": lambda told: {"sha256": told["sha256"]},
    "a true step": lambda told: {**told, "step": True},
    "another step": lambda told: {**told, "step": 7},
}


@pytest.mark.parametrize("damage", DAMAGED.values(), ids=DAMAGED)
def test_any_other_content_of_complete_is_damage(damage, tmp_path, caplog):
    save(tmp_path, 1)
    folder = save(tmp_path, 2).folder
    found = damage(json.loads((folder / "COMPLETE").read_text()))
    text = found if isinstance(found, str) else json.dumps(found)
    (folder / "COMPLETE").write_bytes(text.encode("utf-8", "surrogateescape"))
    assert checkpoint.latest(tmp_path).step == 1
    assert "checkpoint-0000002 is skipped: its COMPLETE is damaged" in caplog.text
    assert checkpoint.latest(tmp_path, 2) is None


def test_averages_that_complete_does_not_list_are_damage(tmp_path):
    found = save(tmp_path, 1)
    shutil.copy(found.folder / "trained.safetensors", found.folder / "ema.safetensors")
    assert checkpoint.latest(tmp_path) is None


class Evil:
    """Writes a file when it is unpickled without protection."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize("content", ["evil", "cut", "text", "tensor", "list"])
def test_an_optimizer_of_a_stranger_runs_nothing(content, tmp_path):
    found = save(tmp_path, 1)
    path = found.folder / "optimizer.pt"
    whole = path.read_bytes()
    if content == "evil":
        path.write_bytes(pickle.dumps(Evil(tmp_path / "ran")))
    elif content == "cut":
        path.write_bytes(whole[: len(whole) // 2])
    elif content == "text":
        path.write_text("hello")
    else:
        torch.save(torch.zeros(2) if content == "tensor" else [1, 2], path)
    told = json.loads((found.folder / "COMPLETE").read_text())
    told["sha256"]["optimizer.pt"] = sha256_of(path)
    (found.folder / "COMPLETE").write_text(json.dumps(told))
    with pytest.raises(UserError, match=r"optimizer\.pt (cannot be read as|holds no) .*older checkpoint"):
        checkpoint.latest(tmp_path).optimizer()
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("length", [640, 896, 1152, 1408])
def test_a_checkpoint_whose_header_looks_like_a_pickle_is_resumed_from(length, tmp_path):
    """The names of the weights are fixed by the recipe: such a run could be resumed from none of its checkpoints."""
    for name in range(length - 200, length):
        found = save(tmp_path, 1, {"w" * name: torch.zeros(2)})
        if struct.unpack("<Q", (found.folder / "trained.safetensors").read_bytes()[:8])[0] == length:
            break
    else:
        raise AssertionError("no such name")
    assert checkpoint.latest(tmp_path).trained().keys() == {"w" * name}


def test_a_full_disk_is_one_sentence(tmp_path, monkeypatch):
    def full(*args):
        raise RuntimeError("PytorchStreamWriter failed writing file data/0: file write failed")

    monkeypatch.setattr(checkpoint.torch, "save", full)
    with pytest.raises(OSError, match=r"optimizer\.pt cannot be written .*make room on the disk"):
        save(tmp_path, 1)
    monkeypatch.setattr(checkpoint.shutil, "disk_usage", lambda folder: type("Usage", (), {"free": 12})())
    with pytest.raises(OSError, match=r"has 0\.0 MB free, a checkpoint needs"):
        save(tmp_path, 1)
