"""What stays of older checkpoints: whole ones, weights, and whatever a person asked for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from comfyui_uso.trainer.engine import checkpoint, removal
from comfyui_uso.trainer.engine.loop import run
from comfyui_uso.trainer.engine.prune import prune
from comfyui_uso.uso_model import writing
from comfyui_uso.uso_model.errors import UserError

from .conftest import rows_of


def save(folder, step, asked=False):
    weight = torch.full((2, 2), float(step))
    optimizer = torch.optim.AdamW([torch.nn.Parameter(weight)]).state_dict()
    return checkpoint.save(folder, step, {"w": weight}, None, optimizer, asked)


def kept(folder):
    """Return the steps that are whole, and those of which the weights are left."""
    found = checkpoint.checkpoints(folder)
    return [one.step for one in found if one.is_whole], [one.step for one in found if not one.is_whole]


def test_the_newest_and_the_milestones_stay_whole_and_older_ones_lose_the_optimizer(tmp_path):
    for step in range(1, 10):
        save(tmp_path, step)
        prune(tmp_path, keep=2, keep_every=3, keep_weights=2, saved=step)
    assert kept(tmp_path) == ([3, 6, 8, 9], [5, 7])
    assert not (tmp_path / "checkpoint-0000005" / "optimizer.pt").exists()
    assert checkpoint.latest(tmp_path, 5).trained()["w"][0, 0] == 5, "its weights can be exported"
    assert not list(tmp_path.glob(".*"))


def test_what_a_person_asked_for_stays_and_is_not_counted(tmp_path):
    for step in range(1, 8):
        save(tmp_path, step, asked=step in (2, 3))
        prune(tmp_path, keep=2, keep_every=None, keep_weights=0, saved=step)
    assert kept(tmp_path) == ([2, 3, 6, 7], [])


def test_the_one_just_saved_stays_whatever_lies_at_later_steps(tmp_path):
    for step in (5, 6, 7):
        (save(tmp_path, step).folder / "trained.safetensors").write_bytes(b"damaged")
    save(tmp_path, 1)
    prune(tmp_path, keep=1, keep_every=None, keep_weights=0, saved=1)
    assert kept(tmp_path) == ([1, 5, 6, 7], [])


def test_no_run_goes_on_from_weights_alone_or_begins_anew_over_what_is_there(loop, toy, term, tmp_path):
    run(loop(), toy, [term], rows_of)
    folder = loop().run_dir
    for path in folder.glob("checkpoint-*/optimizer.pt"):
        path.unlink()
    before = checkpoint.latest(folder).trained()["weight"]
    with pytest.raises(
        UserError, match=r"none that the run can go on from \(checkpoint-0000006: optimizer\.pt is miss"
    ):
        run(loop(steps=8), toy, [term], rows_of)
    assert torch.equal(checkpoint.latest(folder).trained()["weight"], before)


@pytest.mark.parametrize("denied", ["folder", "file"])
def test_a_program_that_holds_an_old_one_open_ends_no_run(denied, loop, toy, term, monkeypatch, caplog):
    """Windows lets nobody rename or remove what a virus scanner reads."""
    rename, unlink = Path.rename, Path.unlink

    def held(path, *args, **kwargs):
        if denied == "folder" and path.name == "checkpoint-0000002":
            raise PermissionError(13, "Access is denied", str(path))
        return rename(path, *args, **kwargs)

    def locked(path, *args, **kwargs):
        if denied == "file" and path.name == "optimizer.pt" and path.parent.name == "checkpoint-0000002":
            raise PermissionError(13, "Access is denied", str(path))
        return unlink(path, *args, **kwargs)

    monkeypatch.setattr(Path, "rename", held)
    monkeypatch.setattr(Path, "unlink", locked)
    monkeypatch.setattr(writing.time, "sleep", lambda seconds: None)
    config = loop(keep=1, keep_weights=int(denied == "file"))
    assert run(config, toy, [term], rows_of) == 6
    assert "removing older checkpoints failed" in caplog.text and checkpoint.latest(config.run_dir).step == 6


def test_a_denied_rename_is_tried_again(tmp_path, monkeypatch):
    pauses, rename = [], Path.rename

    def held(path, target):
        if len(pauses) < 3:
            raise PermissionError(13, "Access is denied")
        return rename(path, target)

    monkeypatch.setattr(writing.time, "sleep", pauses.append)
    monkeypatch.setattr(Path, "rename", held)
    save(tmp_path, 1)
    assert checkpoint.latest(tmp_path).step == 1 and pauses == sorted(pauses) and len(pauses) == 3
    monkeypatch.setattr(
        Path, "rename", lambda path, target: (_ for _ in ()).throw(PermissionError(13, "Access is denied"))
    )
    with pytest.raises(
        PermissionError, match=r"checkpoint-0000002 cannot be written .*close the program that has it open"
    ):
        save(tmp_path, 2)


def test_left_over_files_of_a_removed_one_go_later(tmp_path, monkeypatch):
    folder = save(tmp_path, 1).folder
    monkeypatch.setattr(removal.shutil, "rmtree", lambda path, **options: None)
    removal.remove(folder)
    assert not folder.exists() and len(os.listdir(tmp_path)) == 1
    monkeypatch.undo()
    save(tmp_path, 2)
    assert os.listdir(tmp_path) == ["checkpoint-0000002"]
