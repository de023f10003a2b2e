"""The benchmarks run: a broken one would be found on the day its number is needed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *command], capture_output=True, text=True, timeout=280)


@pytest.fixture
def comfy_folder() -> Path:
    """Return the ComfyUI checkout, without which there is nothing to time."""
    folder = Path(os.environ.get("COMFYUI_PATH") or "~/comfy/ComfyUI").expanduser()
    if not (folder / "main.py").is_file():
        pytest.skip(f"no ComfyUI in {folder}; set COMFYUI_PATH")
    return folder


@pytest.mark.long
def test_the_training_step():
    small = ("--width", "128", "--target", "64", "--content", "32", "--rounds", "2")
    done = run(str(FOLDER / "train_step.py"), *small)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("s a step") == 2 and "ratio: " in done.stdout


@pytest.mark.long
def test_training_memory():
    done = run(str(FOLDER / "train_memory.py"), "--tiny", "--steps", "1")
    assert done.returncode == 0, done.stderr[-2000:]
    assert all(name in done.stdout for name in ("bf16, resident", "fp8, 1024 + 512", "adapt_12gb"))


@pytest.mark.long
def test_the_whole_way_of_the_trainer(tmp_path: Path):
    for more in (["--make"], []):
        done = run(str(FOLDER / "full_size.py"), str(tmp_path), "--tiny", *more)
        assert done.returncode == 0, done.stderr[-2000:]
    phases = ("encoding prompts", "encoding pictures", "reading FLUX", "training", "saving", "uso export")
    table = done.stdout.rpartition("planned")[2]
    assert all(name in table for name in phases), done.stdout[-2000:]


@pytest.mark.long
def test_the_dials_step(comfy_folder: Path):
    done = run(str(FOLDER / "dials_step.py"), "--width", "128", "--single-blocks", "1", "--pairs", "1")
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("cpu time") == 6


@pytest.mark.long
def test_the_step_beside_comfyuis_own(comfy_folder: Path):
    small = ("--width", "128", "--single-blocks", "1", "--pairs", "1", "--repeats", "1", "--json")
    done = run(str(FOLDER / "step_vs_core.py"), *small)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    assert found["memory_ratio"] < 1.05 and len(found["references_cost"]["1024"]) == 5


@pytest.mark.long
def test_the_scoring():
    small = ("--pictures", "20", "--side", "64", "--width", "64", "--blocks", "1", "--rounds", "1")
    done = run(str(FOLDER / "eval_score.py"), *small)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("times as fast") == 2
