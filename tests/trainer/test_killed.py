"""A run that is killed thirty times, and moved each time, ends in the files of one that nobody touched."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml
from comfyui_uso.trainer.engine.checkpoint import checkpoints, latest
from comfyui_uso.trainer.export.files import CHECKPOINT
from comfyui_uso.trainer.export.names import OWN, PROJECTOR, exported
from comfyui_uso.trainer.recipe import TrainConfig
from comfyui_uso.uso_model.checkpoints import read_metadata, read_safetensors

KILLS, STEPS = 30, 80


def trained(recipe: Path, place: Path, kills: int) -> tuple[Path, dict[str, int]]:
    place.mkdir()
    script = Path(__file__).with_name("killed.py")
    done = subprocess.run(
        [sys.executable, str(script), str(recipe), str(place), str(kills)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads(done.stdout.splitlines()[-1])
    return Path(told["folder"]), told["kills"]


def same(one: Path, other: Path) -> bool:
    a, b = read_safetensors(one), read_safetensors(other)
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.long
@pytest.mark.skipif(not hasattr(os, "fork"), reason="children are forked")
def test_thirty_kills_change_nothing(recipe: Callable[..., TrainConfig], tmp_path: Path) -> None:
    config = recipe(
        out=None,
        train_projector=True,
        monitor={"samples_every": 2, "samples": 1, "sample_steps": 1},
        loop={"steps": STEPS, "save_every": 1, "keep": 2, "keep_weights": 2, "ema": 0.9, "warmup": 2},
    )
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(json.loads(config.model_dump_json())), encoding="utf-8")
    whole, _ = trained(path, tmp_path / "whole", 0)
    killed, kills = trained(path, tmp_path / "killed", KILLS)
    assert sum(kills.values()) == KILLS and all(kills.values()), kills
    found, expected = latest(killed), latest(whole)
    assert found.step == expected.step == STEPS and [one.step for one in checkpoints(killed)] == [77, 78, 79, 80]
    for name in ("trained.safetensors", "ema.safetensors"):
        assert same(found.folder / name, expected.folder / name)
    reference = {(file.step, file.part): file.path for file in exported(whole / "out")}
    files = exported(killed / "out")
    assert {(file.step, file.part) for file in files} == reference.keys()
    assert all(same(file.path, reference[file.step, file.part]) for file in files)
    last = [file.path for file in files if file.step == STEPS]
    assert {read_metadata(file)[CHECKPOINT] for file in last} == {found.digest(True)} and len(last) == 2
    assert {file.part for file in files} == {OWN, PROJECTOR}
    lines = [json.loads(line) for line in (killed / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [line["step"] for line in lines if "loss" in line] == list(range(1, STEPS + 1))
    assert not list(killed.glob(".*checkpoint*"))
