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
def test_references_over_whole_steps(comfy_folder: Path, tmp_path: Path):
    times, errors, plot = (tmp_path / name for name in ("times.json", "errors.json", "plot.png"))
    small = (
        "--width",
        "128",
        "--sizes",
        "512",
        "--mixes",
        "1 + 1",
        "--adaptive",
        "7",
        "--rounds",
        "2",
        "--json",
        str(times),
    )
    done = run(str(FOLDER / "references.py"), *small)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(times.read_text())
    assert found["refreshes"] == {"every 2": 13, "every 3": 9, "every 5": 6, "adaptive, 7 refreshes": 7}
    assert found["memory"]["1 + 1"]["over_plan"] < 1.05
    assert all(low <= row["share"] <= high for row in found["settings"] for low, high in [row["share_range"]])
    settings = [{"every": 1}, {"every": 2, "refreshes": 13}, {"every": 5, "tolerance": 0.1, "refreshes": 7}]
    usual = {"form": "corrected", "first": 1, "last": 0, "tolerance": 0, "steps": 25}
    rows = [
        {**usual, **own, "psnr": {"mean": 40.0, "low": 39.0, "high": 41.0}}
        for own in [*settings, {"steps": 17, "every": 1}]
    ]
    errors.write_text(json.dumps(rows))
    done = run(str(FOLDER / "references_plot.py"), "--times", str(times), "--errors", str(errors), "--out", str(plot))
    assert done.returncode == 0, done.stderr[-2000:]
    assert plot.read_bytes().startswith(b"\x89PNG")


@pytest.mark.long
def test_the_scoring():
    small = ("--pictures", "20", "--side", "64", "--width", "64", "--blocks", "1", "--rounds", "1")
    done = run(str(FOLDER / "eval_score.py"), *small)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("times as fast") == 2


@pytest.mark.long
def test_a_turn_of_the_loop(tmp_path: Path):
    sizes = ("--pictures", "8", "--unseen", "8", "--draw-steps", "4", "--train-steps", "4")
    command = (str(FOLDER / "curate_turn.py"), "--out", str(tmp_path / "turn"), *sizes)
    done = run(*command)
    assert done.returncode == 0, done.stderr[-2000:]
    table = done.stdout.partition("| pictures |")[2]
    assert table.count("| bundled |") == 2 and table.count("| trained on |") == 1 and "mini_style: " in table
    assert run(*command).stdout.partition("| pictures |")[2] == table, "what is done is not done again"


@pytest.mark.long
def test_curation():
    done = run(str(FOLDER / "curate.py"), "--calls", "2", "--rows", "10", "--lines", "600")
    assert done.returncode == 0, done.stderr
    for words in ("first call after", "of ideal", "10 rows made in", '"lines": 600'):
        assert words in done.stdout, done.stdout


@pytest.mark.long
def test_the_error_of_reused_references(comfy_folder: Path, tmp_path: Path):
    small = ("--cases", "2", "--only", "every 3, linear")
    command = (str(FOLDER / "references_error.py"), str(tmp_path / "error"), *small)
    done = run(*command, "--json", str(tmp_path / "error.json"))
    assert done.returncode == 0, done.stderr[-2000:]
    exact, reused = json.loads((tmp_path / "error.json").read_text(encoding="utf-8"))
    assert "psnr" not in exact and reused["psnr"]["mean"] > 30 and reused["refreshes"] == 9
    again = run(*command)
    assert again.stdout.partition("| setting")[2] == done.stdout.partition("| setting")[2]


def test_the_plot_says_which_files_it_lacks(tmp_path: Path) -> None:
    times, errors = tmp_path / "times.json", tmp_path / "errors.json"
    errors.write_text("[]", encoding="utf-8")
    done = run(str(FOLDER / "references_plot.py"), "--times", str(times), "--errors", str(errors))
    wanted = f"got no {times}, expected what `python benchmarks/references.py --json {times}` writes: run it first"
    assert done.returncode and done.stderr.strip().endswith(wanted) and "Traceback" not in done.stderr
