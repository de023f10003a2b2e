"""A run names what it leaves out, and still closes with pytest's own line."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = """
import pytest

def test_runs():
    pass

@pytest.mark.skip(reason="it needs a moon")
def test_skipped():
    pass

@pytest.mark.long
def test_takes_minutes():
    pass
"""


@pytest.mark.parametrize("processes", ["0", "2"])
def test_nothing_is_left_out_in_silence(processes: str, tmp_path: Path) -> None:
    shutil.copy(Path(__file__).with_name("conftest.py"), tmp_path)
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = long: minutes\n", encoding="utf-8")
    (tmp_path / "test_few.py").write_text(TESTS, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-m", "not long", "-p", "no:cacheprovider", "-n", processes]
    environment = {**os.environ, "COMFYUI_PATH": str(tmp_path / "nowhere")}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    lines = done.stdout.splitlines()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "DID NOT RUN: 1 tests or modules, because it needs a moon" in lines
    assert "DID NOT RUN: 1 tests or modules, because they take minutes: run `make test-long`" in lines
    assert any(line.startswith("NOT TESTED IN COMFYUI: no main.py in") for line in lines)
    deselected = ", 1 deselected" if processes == "0" else ""  # pytest itself does not count those of other processes
    assert f"1 passed, 1 skipped{deselected} in" in lines[-1]
