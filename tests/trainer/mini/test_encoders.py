"""The training of the miniature's vision tower and text encoder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from comfyui_uso.trainer.config import load_config
from comfyui_uso.trainer.mini.cli import CONFIGS
from comfyui_uso.trainer.mini.data import write_captioned
from comfyui_uso.trainer.mini.experiment.records import read_lines
from comfyui_uso.trainer.mini.train import EncoderRun, train_encoders, train_vision
from comfyui_uso.uso_model import mini
from safetensors.torch import load_file


def _run(stage: str, root: Path, steps: int) -> EncoderRun:
    settings: dict[str, Any] = {
        "data": f"[{root / 'a'}]",
        "out": root / "weights",
        "loop.run_dir": root / stage,
        "loop.steps": steps,
        "loop.batch_size": 12,
        "loop.warmup": 2,
        "loop.log_every": 1,
    }
    return load_config(
        EncoderRun, CONFIGS / f"mini_{stage}.yaml", [f"{name}={value}" for name, value in settings.items()]
    )


def test_the_tower_is_trained_on_and_the_text_encoder_stays(tmp_path: Path) -> None:
    write_captioned(tmp_path / "a", 12, 1)
    (tmp_path / "weights").mkdir()
    train_encoders(_run("encoders", tmp_path, 1))
    before = mini.paths(tmp_path / "weights")
    text, tower = before["text"].read_bytes(), load_file(before["vision"])
    config = before["vision_config"].read_bytes()
    train_vision(_run("vision", tmp_path, 8))
    after = load_file(before["vision"])
    assert before["text"].read_bytes() == text and before["vision_config"].read_bytes() == config
    assert after.keys() == tower.keys()
    moved = [name for name in tower if not torch.equal(after[name], tower[name])]
    assert len(moved) > len(tower) / 2
    losses = [record["loss"] for record in read_lines(tmp_path / "vision/log.jsonl")]
    assert losses[-1] < losses[0]


def test_a_tower_needs_encoders_to_start_from(tmp_path: Path) -> None:
    write_captioned(tmp_path / "a", 2, 1)
    with pytest.raises(FileNotFoundError, match="text-mini"):
        train_vision(_run("vision", tmp_path, 1))
