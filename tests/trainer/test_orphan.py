"""A trainer whose parent is killed writes a checkpoint and ends; one whose readers are gone goes on."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from comfyui_uso.trainer.engine.checkpoint import latest
from comfyui_uso.trainer.recipe import TrainConfig

from ..house import ROOT

pytestmark = pytest.mark.long

LAUNCHER = str(ROOT / "trainer/launcher/from_folder.py")
PATIENCE = 240
"""Seconds; a machine may have other things to do."""


@pytest.fixture
def words(recipe: Callable[..., TrainConfig], tmp_path: Path) -> list[str]:
    """Return the words of a run of USO-mini that would last for ever, with samples that take long."""
    config = recipe(
        models={"mini": True, "transformer": None, "projector": None},
        monitor={"samples_every": 5, "samples": 2, "sample_steps": 100},
        loop={"steps": 100_000, "save_every": 50_000},
    )
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(json.loads(config.model_dump_json())), encoding="utf-8")
    return [LAUNCHER, "train", str(path), "--progress", "json"]


def until(file: Path, wanted: Callable[[dict[str, Any]], bool]) -> list[dict[str, Any]]:
    """Return the events of a file as soon as one of them is wanted."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        lines = file.read_text(encoding="ascii").split("\n")[:-1] if file.exists() else []
        events = [json.loads(line) for line in lines]
        if any(map(wanted, events)):
            return events
        time.sleep(0.02)
    raise AssertionError(f"it has not come: {lines[-3:]}")


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


@pytest.mark.parametrize(
    ("kind", "text"), [("encode", ""), ("phase", "reading"), ("phase", "drawing samples"), ("step", "")]
)
def test_it_ends_when_its_parent_is_killed(kind: str, text: str, words: list[str], tmp_path: Path) -> None:
    file, log = tmp_path / "events", tmp_path / "log"
    command = [sys.executable, str(Path(__file__).with_name("orphan.py")), str(file), str(log), *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        before = until(file, lambda event: event["event"] == kind and str(event.get("text", "")).startswith(text))
        parent.kill()
    events = until(file, lambda event: event["event"] in ("stopped", "error", "done"))
    end = time.monotonic() + PATIENCE
    while not gone(child) and time.monotonic() < end:
        time.sleep(0.02)
    assert gone(child) and events[-1]["event"] == "stopped", (events[-1], log.read_text(encoding="utf-8"))
    steps = [event["step"] for event in events if event["event"] == "step"]
    known = [event["step"] for event in before if event["event"] == "step"]
    found = latest(tmp_path / "run")
    assert (0 if found is None else found.step) == events[-1]["step"]
    if known:  # events are left out where steps are quick, so more than one may have ended before the kill
        assert known[-1] <= events[-1]["step"] <= steps[-1] + 20
    else:
        assert events[-1]["step"] <= 1


def test_readers_that_are_gone_end_nothing(words: list[str], tmp_path: Path) -> None:
    command = [sys.executable, *words, "loop.steps=3", "monitor.samples_every=0"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, **pipes) as process:  # type: ignore[call-overload]
        assert b'"start"' in process.stdout.readline()
        process.stdout.close()
        process.stderr.close()
        assert process.wait(PATIENCE) == 0
    found = latest(tmp_path / "run")
    assert found is not None and found.step == 3
