"""The log of a run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from comfyui_uso.trainer.engine import log as module
from comfyui_uso.trainer.engine.log import LOG, time_spent
from comfyui_uso.trainer.engine.loop import run
from comfyui_uso.trainer.engine.loss import Monitor
from PIL import Image

from .conftest import rows_of


def test_the_time_of_an_interrupted_run_adds_up(tmp_path: Path) -> None:
    marks = [10.0, 20.5, None, 5.0, 9.0, 30.0, 2.0]  # two interruptions, and a line without a time
    lines = [{"step": n} | ({} if mark is None else {"seconds": mark}) for n, mark in enumerate(marks)]
    (tmp_path / LOG).write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    assert time_spent(tmp_path) == 20.5 + 30.0 + 2.0


def test_tensorboard_lies_in_the_runs_folder_and_has_the_pictures(loop, toy, term):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    picture = Image.new("RGB", (8, 4), (250, 0, 0))
    monitor = Monitor("draw", 2, lambda step: {"likeness": 0.5, "samples/grid": picture})
    config = loop(steps=4, save_every=2, loggers=("tensorboard",))
    run(config.model_copy(update={"steps": 2}), toy, [term], rows_of, monitors=[monitor])
    run(config, toy, [term], rows_of, monitors=[monitor])
    assert not (config.run_dir / config.run_dir.name).exists()
    events = EventAccumulator(str(config.run_dir), size_guidance={"images": 0}).Reload()
    assert [one.step for one in events.Images("samples/grid")] == [0, 2, 4]
    assert (events.Images("samples/grid")[0].width, events.Images("samples/grid")[0].height) == (8, 4)
    assert [one.step for one in events.Scalars("likeness")] == [0, 2, 4]
    lines = [json.loads(line) for line in (config.run_dir / LOG).read_text(encoding="utf-8").splitlines()]
    assert [line["step"] for line in lines if "likeness" in line] == [0, 2, 4]
    assert not any("samples/grid" in line for line in lines)


def test_steps_that_are_taken_again_stand_once_in_tensorboard(loop, toy, term):
    pytest.importorskip("tensorboard")
    import shutil

    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    config = loop(steps=4, save_every=2, log_every=1, loggers=("tensorboard",))
    run(config, toy, [term], rows_of)
    shutil.rmtree(config.run_dir / "checkpoint-0000004")  # as if it had been killed after step 3
    run(config, toy, [term], rows_of)
    events = EventAccumulator(str(config.run_dir)).Reload()
    assert [one.step for one in events.Scalars("loss")] == [1, 2, 3, 4]


def test_numbers_that_cannot_be_written_do_not_end_a_run(loop, toy, term, caplog, monkeypatch):
    def full(self, line):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.RunLog, "_append", full)
    config = loop(steps=4, log_every=1)
    assert run(config, toy, [term], rows_of) == 4
    said = [line for line in caplog.messages if "cannot be written (No space left on device)" in line]
    assert len(said) == 1 and LOG in said[0] and str(config.run_dir) in said[0]


def test_a_logger_that_fails_does_not_end_a_run(loop, toy, term, caplog, monkeypatch):
    pytest.importorskip("tensorboard")

    def broken(self, *args, **kwargs):
        raise RuntimeError("the server does not answer")

    monkeypatch.setattr("accelerate.Accelerator.log", broken)
    assert run(loop(steps=4, log_every=1, loggers=("tensorboard",)), toy, [term], rows_of) == 4
    assert "the server does not answer" in caplog.text
