"""Programs of command experts end with the process that has started them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import comfyui_uso.trainer.curate.experts.programs as module
import psutil
import pytest
from comfyui_uso.trainer.curate.experts.programs import Programs
from comfyui_uso.trainer.curate.steps import Again

SLOW = "import os, sys, time; open(sys.argv[1], 'w').write(f'{os.getpid()} {sys.argv[2]} '); time.sleep(60)"
DRIVER = """
import asyncio, pathlib, sys, time
from comfyui_uso.trainer.curate.experts.open import open_expert
from comfyui_uso.trainer.curate.recipe import ExpertSettings
from comfyui_uso.trainer.curate.run.place import Crew
from comfyui_uso.trainer.curate.steps import Request
from comfyui_uso.trainer.engine.leftover import ENDING

slow, mark = sys.argv[1], pathlib.Path(sys.argv[2])
expert = open_expert("e", ExpertSettings(kind="command", argv=[sys.executable, "-c", slow, str(mark), "{output}"]))

async def dropped():
    crew = Crew(1, "steps")
    asyncio.create_task(crew.call(lambda: expert(Request("", 1, 16, 16))))
    while not (mark.is_file() and mark.read_text().endswith(" ")):
        await asyncio.sleep(0.01)
    return crew

asyncio.run(dropped()).close()
raise SystemExit(ENDING.with_code(130))
"""


def told_by(mark: Path) -> tuple[int, Path]:
    """Return the process and the folder that a slow program has, once it says so."""
    deadline = time.monotonic() + 30
    while not (mark.is_file() and mark.read_text().endswith(" ")) and time.monotonic() < deadline:
        time.sleep(0.01)
    pid, output = mark.read_text().split()
    return int(pid), Path(output).parent


def test_a_program_does_not_outlive_the_process_that_leaves_its_thread(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    words = [sys.executable, "-c", DRIVER, SLOW.replace("{", "{{").replace("}", "}}"), str(mark)]
    ended = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "")
    pid, folder = told_by(mark)
    alive = psutil.pid_exists(pid)
    if alive:
        psutil.Process(pid).kill()
    assert not alive and folder.name.startswith("uso-") and not folder.exists()


def test_what_was_ended_with_the_process_is_no_failure_and_none_begins_afterwards(tmp_path: Path) -> None:
    programs, mark, ends = Programs(), tmp_path / "mark", list[BaseException]()

    def run() -> None:
        with programs.folder() as folder, tempfile.TemporaryFile() as output:
            words = [sys.executable, "-c", SLOW, str(mark), str(folder / "output.png")]
            try:
                programs.run(words, output, 60)
            except BaseException as error:
                ends.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    pid, folder = told_by(mark)
    programs.end()
    assert not psutil.pid_exists(pid) and not folder.exists()
    thread.join(10)
    assert [type(error) for error in ends] == [SystemExit]
    with pytest.raises(SystemExit), tempfile.TemporaryFile() as output:
        programs.run([sys.executable, "-c", ""], output, 60)


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Have programs started and ended as on Windows, and return the flags with which they are started."""
    flags, popen = list[int](), subprocess.Popen

    def start(*args: Any, creationflags: int, start_new_session: bool, **told: Any) -> Any:
        assert not start_new_session
        flags.append(creationflags)
        return popen(*args, **told)

    monkeypatch.setattr(module, "_POSIX", False)
    monkeypatch.setattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0x200, raising=False)
    monkeypatch.setattr(subprocess, "Popen", start)
    return flags


def test_ctrl_c_in_a_console_of_windows_does_not_reach_programs(windows: list[int]) -> None:
    with tempfile.TemporaryFile() as output:
        assert Programs().run([sys.executable, "-c", ""], output, 60) == 0
    assert windows == [0x200]


def test_what_a_program_has_started_is_ended_with_it_on_windows(windows: list[int], tmp_path: Path) -> None:
    mark, words = tmp_path / "mark", [sys.executable, "-c", SLOW]
    text = f"import subprocess; subprocess.run({[*words, str(tmp_path / 'mark'), 'x/y']!r})"
    with tempfile.TemporaryFile() as output, pytest.raises(subprocess.TimeoutExpired):
        Programs().run([sys.executable, "-c", text], output, 3)
    pid, _ = told_by(mark)
    alive = psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    if alive:
        psutil.Process(pid).kill()
    assert not alive


def test_a_file_that_is_held_by_another_process_hides_no_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Any, *args: Any, **told: Any) -> None:
        raise PermissionError(13, "The process cannot access the file", path)

    with pytest.raises(Again, match="took too long"), Programs().folder() as folder:
        (folder / "output.png").write_bytes(b"")
        monkeypatch.setattr(os, "unlink", refuse)
        monkeypatch.setattr(os, "rmdir", refuse)
        raise Again("it took too long")
    monkeypatch.undo()
    assert (folder / "output.png").is_file()
    shutil.rmtree(folder)
