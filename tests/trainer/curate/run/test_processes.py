"""A process for each device: both work, one that dies is started again, and what they say comes back."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
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


LEAVING = """
import asyncio, sys
from comfyui_uso.trainer.curate.build import drawing_steps
from comfyui_uso.trainer.curate.entry import Entry
from comfyui_uso.trainer.curate.pictures import Pictures
from comfyui_uso.trainer.curate.recipe import CurateConfig
from comfyui_uso.trainer.curate.run.processes import Processes
from comfyui_uso.trainer.curate.steps import Row, Task
from pathlib import Path
from PIL import Image

async def busy(processes, task, mark):
    doing = asyncio.create_task(processes.do(task, lambda: None))
    while not doing.done() and not (mark.is_file() and mark.read_text().endswith(" ")):
        await asyncio.sleep(0.02)
    assert not doing.done(), doing.result()

if __name__ == "__main__":
    folder, program = Path(sys.argv[1]), sys.argv[2]
    argv = [sys.executable, program, str(folder / "mark"), "{output}"]
    expert = {"kind": "command", "argv": argv, "devices": ["cpu"]}
    told = {"source": {"path": str(folder)}, "experts": {"e": expert}, "style": {"expert": "e"}, "kept": 0}
    config = CurateConfig.model_validate(told)
    target = Pictures(folder).add(Image.new("RGB", (32, 32)))
    entry = Entry("r", "target", "1" * 64, 0, "done", 1.0, pictures={"target": target})
    row, plan = Row("r", "k", "f", "shifted", 0, "a zebra"), drawing_steps(config)[0].plan
    task = Task(row, plan, "0" * 64, 0, {"target": entry})
    processes = Processes(folder, config.model_dump(mode="json"), "e", ["cpu"])
    asyncio.run(busy(processes, task, folder / "mark"))
    processes.close()
    sys.exit(3)
"""


def test_a_program_of_a_process_ends_with_the_driver(tmp_path: Path) -> None:
    driver, slow, mark = (tmp_path / name for name in ("driver.py", "slow.py", "mark"))
    driver.write_text(LEAVING)
    told = "import os, sys, time; open(sys.argv[1], 'w').write(f'{os.getpid()} {sys.argv[2]} '); time.sleep(60)"
    slow.write_text(told)
    words = [sys.executable, str(driver), str(tmp_path), str(slow)]
    ended = subprocess.run(words, capture_output=True, text=True, timeout=60)
    pid, output = mark.read_text().split()
    alive = psutil.pid_exists(int(pid))
    if alive:
        psutil.Process(int(pid)).kill()
    assert not alive and not Path(output).parent.exists()
    assert (ended.returncode, ended.stdout, ended.stderr) == (3, "", "")


@pytest.mark.parametrize("name", ["captioner", "vlm"])
def test_an_expert_is_not_named_as_a_judge_is(tmp_path: Path, name: str) -> None:
    told = cheap.settings(tmp_path)
    with pytest.raises(ValueError, match=f"'{name}' is who .* name the expert otherwise"):
        CurateConfig.model_validate(told | {"experts": {name: told["experts"]["cheap"]}})


@pytest.mark.long
def test_a_process_that_dies_again_and_again_stops_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(cheap.HERE)
    with pytest.raises(UserError, match=r"died 3 times in a row \(exit code 3\)"):
        drive(tmp_path, 2, devices=["a"], dies=True)
