"""Places, packages and the sharing of a batch are looked at first, and the doctor says the same."""

from __future__ import annotations

import shutil
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from comfyui_uso.trainer.doctor import diagnose
from comfyui_uso.trainer.preflight import look, require_ready
from comfyui_uso.trainer.reading.recipe_files import RECIPES, load_recipe
from comfyui_uso.trainer.recipe import TrainConfig
from comfyui_uso.uso_model.errors import UserError

Make = Callable[..., TrainConfig]
Usage = namedtuple("Usage", "total used free")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"loop__run_dir": "in_the_way/run"}, "loop.run_dir: in_the_way/run cannot be written to"),
        ({"out": "in_the_way/out"}, "out: in_the_way/out cannot be written to"),
        ({"data__cache": "in_the_way"}, "data.cache: in_the_way is a file"),
        ({"data__cache": "in_the_way/cache"}, "data.cache: in_the_way/cache cannot be made"),
        ({"loop__optimizer": "adamw8bit"}, "bitsandbytes"),
        ({"loop__loggers": ["wandb"]}, "the logger wandb is not installed: pip install wandb"),
        ({"loop__loggers": ["trackio"]}, "the logger trackio is not installed"),
    ],
)
def test_a_problem_is_known_at_once(
    settings: dict[str, Any], words: str, flux_recipe: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder that is called as a logger, such as the one that wandb writes, is no package."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "wandb").mkdir()
    (tmp_path / "in_the_way").write_text("a file", encoding="utf-8")
    config = flux_recipe(**settings)
    problems = look(config).problems
    assert len(problems) == 1 and words in problems[0].replace(str(tmp_path / "in_the_way"), "in_the_way"), problems
    with pytest.raises(UserError):
        require_ready(config)


def test_a_batch_must_divide_by_the_processes(flux_recipe: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "3")
    assert look(flux_recipe()).problems == ["batch_size 2 cannot be shared by 3 processes; use a multiple"]
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    (problem,) = look(flux_recipe(memory__modulation="offloaded", lora__layers="uso")).problems
    assert "FSDP moves the blocks itself" in problem


def test_what_will_be_written_is_compared_with_what_is_free(flux_recipe: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    config = flux_recipe()
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: Usage(1, 1, 40_000_000))
    (problem,) = look(config).problems
    assert "has 40.0 MB free, but " in problem and "checkpoints in" in problem and "encodings in" in problem
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: Usage(1, 1, 200_000_000))
    assert look(config).problems == []


def test_the_doctor_says_the_same_and_train_says_all(
    flux_recipe: Make, flux_files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    flux_files["t5"].unlink()
    config = flux_recipe(loop__optimizer="adamw8bit", needs="none")
    report = diagnose(config)
    assert len(report.problems) == 2
    assert all(f"problem: {problem}" in report.text for problem in report.problems)
    with pytest.raises(UserError) as caught:
        require_ready(config)
    assert all(problem in str(caught.value) for problem in report.problems)


def test_the_plan_is_compared_with_the_memory_that_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where files are still missing, and before anything is encoded."""
    recipe = load_recipe(RECIPES / "adapt_24gb.yaml", {"loop.optimizer": "adamw"})
    notes = look(recipe).notes
    assert any("no CUDA GPU" in note for note in notes) or torch.cuda.is_available()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (11 * 10**9, 12 * 10**9))
    (note,) = (note for note in look(recipe).notes if "on the GPU by the plan" in note)
    assert "and 11.0 GB are free: " in note and "memory.blocks_to_swap" in note
