"""The benchmarks run: a broken one would be found on the day its number is needed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *command], capture_output=True, text=True, timeout=280)


@pytest.mark.slow
def test_the_training_step():
    small = ("--width", "128", "--target", "64", "--content", "32", "--rounds", "2")
    done = run(str(FOLDER / "train_step.py"), *small)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("s a step") == 2 and "ratio: " in done.stdout


@pytest.mark.slow
def test_training_memory():
    done = run(str(FOLDER / "train_memory.py"), "--tiny", "--steps", "1")
    assert done.returncode == 0, done.stderr[-2000:]
    assert all(name in done.stdout for name in ("bf16, resident", "fp8, 1024 + 512", "adapt_12gb"))
