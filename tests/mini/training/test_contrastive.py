"""The training of the miniature's vision tower and text encoder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from comfyui_uso.mini.experiment.results import read_lines
from comfyui_uso.mini.model import MiniDescriptor, MiniTextEncoder, MiniTokenizer, save_descriptor, weight_files
from comfyui_uso.mini.model.sizes import fresh_vision
from comfyui_uso.mini.stages import load_stage
from comfyui_uso.mini.training.contrastive import ContrastiveObjective, VisionObjective
from comfyui_uso.mini.training.runs import EncoderRun, train_encoders, train_vision
from comfyui_uso.mini.world import VOCABULARY
from comfyui_uso.mini.world.dataset import write_captioned, write_data
from safetensors.torch import load_file


def _run(stage: str, root: Path, steps: int) -> EncoderRun:
    settings: dict[str, Any] = {
        "data": [root / "a"],
        "out": root / "weights",
        "loop.run_dir": root / stage,
        "loop.steps": steps,
        "loop.batch_size": 12,
        "loop.warmup": 2,
        "loop.log_every": 1,
    }
    return load_stage(stage, settings)


@pytest.mark.long
def test_the_tower_is_trained_on_and_the_text_encoder_stays(tmp_path: Path) -> None:
    write_data(tmp_path / "a", 12, 13, 1)
    (tmp_path / "weights").mkdir()
    train_encoders(_run("encoders", tmp_path, 1))
    before = weight_files(tmp_path / "weights")
    text, tower = before["text"].read_bytes(), load_file(before["vision"])
    config = before["vision_config"].read_bytes()
    save_descriptor(MiniDescriptor(), tmp_path / "weights")
    train_vision(_run("vision", tmp_path, 8))
    after = load_file(before["vision"])
    assert before["text"].read_bytes() == text and before["vision_config"].read_bytes() == config
    assert after.keys() == tower.keys()
    moved = [name for name in tower if not torch.equal(after[name], tower[name])]
    assert len(moved) > len(tower) / 2
    records = read_lines(tmp_path / "vision/log.jsonl")
    assert all(records[-1][name] < records[0][name] for name in ("loss", "missed"))


def test_what_is_missed_is_measured_in_the_spread_of_the_statistics_and_photos_are_not_asked() -> None:
    torch.manual_seed(0)
    tokenizer = MiniTokenizer(VOCABULARY)
    descriptor = MiniDescriptor()
    captions = ContrastiveObjective(fresh_vision(), MiniTextEncoder(len(tokenizer)), tokenizer)
    pictures, targets, references, photos = (torch.rand(4, 2, 3, 128, 128) * 2 - 1).unbind()
    sample = torch.rand(8, 3, 128, 128)
    objective = VisionObjective(captions, descriptor, sample)
    torch.nn.init.zeros_(objective.head.weight)
    torch.nn.init.zeros_(objective.head.bias)
    said = (pictures, ["a red fish", "a blue boat"])
    found = objective((said, (targets, references, photos)))
    like = descriptor.statistics(sample)
    shown = descriptor.statistics(torch.cat([pictures, targets, references]))
    away = ((shown - like.mean(dim=0)) / (like.std(dim=0) + 1e-3)).square().mean()
    assert torch.allclose(found["missed"], away, rtol=1e-3)
    other = objective((said, (targets, references, -photos)))
    assert torch.equal(other["loss"], found["loss"])
    assert found["loss"] > captions(said)["loss"]


def test_a_tower_needs_encoders_to_start_from(tmp_path: Path) -> None:
    write_captioned(tmp_path / "a", 2, 1)
    with pytest.raises(FileNotFoundError, match="text-mini"):
        train_vision(_run("vision", tmp_path, 1))
