"""A process for each device: both work, one that dies is started again, and what they say comes back."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest
from comfyui_uso.trainer.curate.build import build_steps
from comfyui_uso.trainer.curate.ledger import Ledger
from comfyui_uso.trainer.curate.recipe import CurateConfig
from comfyui_uso.trainer.curate.rows import rows_of
from comfyui_uso.trainer.curate.run.driver import Driver
from comfyui_uso.trainer.curate.run.local import run_local
from comfyui_uso.trainer.curate.run.worker import _steps_of_place
from comfyui_uso.trainer.curate.run_folder import pipeline_of, write_run
from comfyui_uso.trainer.curate.sources.open import source_pictures
from comfyui_uso.uso_model.errors import UserError

from .. import cheap


def drive(folder: Path, rows: int, **of_expert: object) -> Driver:
    config = cheap.config(folder, rows, **of_expert)
    pictures = source_pictures(config.source)
    steps = build_steps(config, pictures)
    pipeline = pipeline_of(config, [step.plan for step in steps])
    rows = list(rows_of(pictures.values(), config))
    write_run(folder / "run", config, pipeline, rows)
    return run_local(pipeline, steps, rows, Ledger(folder / "run"), config)


def test_each_device_has_a_process_and_one_that_dies_is_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(cheap.HERE)
    killed: list[int] = []

    def kill() -> None:
        while cheap.calls(tmp_path) < 6:
            time.sleep(0.01)
        pid = int((tmp_path / "calls").read_text(encoding="utf-8").splitlines()[-1].split()[0])
        os.kill(pid, signal.SIGKILL)
        killed.append(pid)

    thread = threading.Thread(target=kill)
    thread.start()
    drive(tmp_path, 20, devices=["a", "b"], seconds=0.03)
    thread.join()
    cheap.whole(tmp_path, 20)
    marks = [line.split() for line in (tmp_path / "calls").read_text(encoding="utf-8").splitlines()]
    assert {device for _, device, *_ in marks} == {"a", "b"}
    assert len({pid for pid, *_ in marks}) == 3 and str(os.getpid()) not in {pid for pid, *_ in marks}
    assert len(marks) <= 20 * 2 + 1


def test_what_a_process_says_stops_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(cheap.HERE)
    with pytest.raises(UserError, match="no such model; put it there"):
        drive(tmp_path, 2, devices=["a"], stops=True)


def test_a_process_needs_no_file_of_a_judge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Actors on other machines have none."""
    monkeypatch.syspath_prepend(cheap.HERE)
    told = cheap.settings(tmp_path) | {"judges": {"csd": str(tmp_path / "of the driver/csd.safetensors")}}
    told |= {"vlm": {"model": str(tmp_path / "of the driver/vlm")}}
    steps = _steps_of_place(CurateConfig.model_validate(told).model_dump(mode="json"), "cheap", None)
    assert set(steps) == {"style", "content"}


@pytest.mark.long
def test_a_process_that_dies_again_and_again_stops_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(cheap.HERE)
    with pytest.raises(UserError, match=r"died 3 times in a row \(exit code 3\)"):
        drive(tmp_path, 2, devices=["a"], dies=True)
