"""Two processes never train in one folder, and no lock outlives its process."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading

import pytest
from comfyui_uso.trainer.engine.lock import locked
from comfyui_uso.trainer.engine.loop import run
from comfyui_uso.uso_model.errors import UserError

from .conftest import rows_of

HOLDING = """
import sys, time
from pathlib import Path
from comfyui_uso.trainer.engine.lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(100)
"""


def test_another_process_is_named_and_its_death_frees_the_folder(tmp_path, loop, toy, term):
    config = loop(run_dir=tmp_path / "run")
    with subprocess.Popen(
        [sys.executable, "-c", HOLDING, str(config.run_dir)], stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(UserError, match=rf"is being trained in by process {other.pid} on .*; wait until that ends"):
            run(config, toy, [term], rows_of)
        moved, copy = tmp_path / "moved", tmp_path / "copy"
        config.run_dir.rename(moved)
        shutil.copytree(moved, copy)
        with pytest.raises(UserError, match="moved is being trained in"), locked(moved):
            pass
        with locked(copy):
            pass
        os.kill(other.pid, signal.SIGKILL)
        other.wait()
    with locked(moved):
        pass
    assert run(loop(run_dir=moved), toy, [term], rows_of) == 6


def test_a_lock_may_be_nested_and_keeps_threads_apart(tmp_path):
    told = []

    def other():
        try:
            with locked(tmp_path):
                told.append("free")
        except UserError as error:
            told.append(str(error))

    with locked(tmp_path), locked(tmp_path):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert "is being trained in" in told[0]


def test_a_drive_without_locks_is_said_and_trained_on(tmp_path, monkeypatch, caplog):
    from comfyui_uso.trainer.engine import lock

    def none(self, *args, **kwargs):
        raise NotImplementedError("flock")

    monkeypatch.setattr(lock.FileLock, "acquire", none)
    with locked(tmp_path):
        pass
    assert "its drive has no locks" in caplog.text
