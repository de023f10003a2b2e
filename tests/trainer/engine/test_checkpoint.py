"""Checkpoints are whole or absent, also after kill -9, and the older ones stay until a newer one is safe."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest
import torch
from comfyui_uso.trainer.engine import checkpoint
from comfyui_uso.trainer.engine.loop import run
from comfyui_uso.trainer.engine.loss import LossTerm

from .conftest import Toy, rows_of


def save(folder, step):
    weight = torch.full((2, 2), float(step))
    optimizer = torch.optim.AdamW([torch.nn.Parameter(weight)]).state_dict()
    return checkpoint.save(folder, step, {"w": weight}, None, optimizer)


def test_the_newest_whole_one_is_found_and_broken_ones_are_told(tmp_path, caplog):
    for step in (1, 2, 3, 4):
        save(tmp_path, step)
    (tmp_path / "checkpoint-0000004" / "COMPLETE").unlink()
    with (tmp_path / "checkpoint-0000003" / "trained.safetensors").open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"\x01")
    found = checkpoint.latest(tmp_path)
    assert found.step == 2 and found.trained()["w"][0, 0] == 2
    assert "checkpoint-0000004 is skipped: it has no COMPLETE" in caplog.text
    assert "checkpoint-0000003 is skipped: trained.safetensors is damaged" in caplog.text
    assert (tmp_path / "checkpoint-0000004").is_dir(), "what cannot be read is never removed"
    assert checkpoint.latest(tmp_path, 1).step == 1 and checkpoint.latest(tmp_path, 9) is None


@pytest.mark.parametrize("moment", ["write_safetensors", "rename", "COMPLETE"])
def test_a_failed_save_leaves_the_former_one(moment, tmp_path, monkeypatch):
    save(tmp_path, 1)

    def fail(*args, **kwargs):
        raise OSError("the cable was pulled")

    if moment == "write_safetensors":
        monkeypatch.setattr(checkpoint, moment, fail)
    elif moment == "rename":
        monkeypatch.setattr(type(tmp_path), moment, fail)
    else:
        monkeypatch.setattr(checkpoint.json, "dumps", fail)
    with pytest.raises(OSError, match="cable"):
        save(tmp_path, 2)
    monkeypatch.undo()
    assert checkpoint.latest(tmp_path).step == 1
    assert save(tmp_path, 2).step == 2 and checkpoint.latest(tmp_path).step == 2


KILLED = """
import os, signal, sys
from pathlib import Path
from comfyui_uso.trainer.settings.loop import LoopConfig
from comfyui_uso.trainer.engine import checkpoint
from comfyui_uso.trainer.engine.loop import run
from comfyui_uso.trainer.engine.loss import LossTerm
sys.path.insert(0, {tests!r})
from engine.conftest import Toy, rows_of

def die(*args):
    os.kill(os.getpid(), signal.SIGKILL)

toy = Toy()
config = LoopConfig(run_dir=Path({run!r}), steps=6, batch_size=4, learning_rate=0.1, save_every=2, loggers=())
write, count = checkpoint.torch.save, 0

def second(*args):
    global count
    count += 1
    die() if count == 2 else write(*args)

checkpoint.torch.save = second
run(config, toy, [LossTerm("fit", toy.losses)], rows_of)
"""


def test_kill_during_a_save_loses_only_that_save(tmp_path, loop):
    """The process dies by SIGKILL inside the second save; what goes on ends in the very weights of an unbroken run."""
    tests = os.path.dirname(os.path.dirname(__file__))
    script = KILLED.format(tests=tests, run=str(tmp_path / "run"))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert checkpoint.latest(tmp_path / "run").step == 2 and list((tmp_path / "run").glob(".checkpoint-0000004-*"))
    resumed, whole = Toy(), Toy()
    run(loop(), resumed, [LossTerm("fit", resumed.losses)], rows_of)
    run(loop(run_dir=tmp_path / "whole"), whole, [LossTerm("fit", whole.losses)], rows_of)
    assert torch.equal(resumed.weight, whole.weight)
    assert not list((tmp_path / "run").glob(".checkpoint-*"))
