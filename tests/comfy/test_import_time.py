"""The time that ComfyUI itself reports for importing the pack."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ..machine import slowness
from .conftest import COMFY, PACK, make_server_folder

TRIES = 3
"""The first run may have to compile the modules, and other work on the machine may get in between."""


@pytest.mark.long
def test_comfyui_reports_a_quick_import(tmp_path: Path) -> None:
    """ComfyUI rounds to tenths, so 0.1 stands for less than 0.15 seconds."""
    make_server_folder(tmp_path)
    command = [
        *(sys.executable, str(COMFY / "main.py"), "--cpu", "--quick-test-for-ci", "--disable-api-nodes"),
        *("--base-directory", str(tmp_path), "--database-url", "sqlite:///:memory:"),
    ]
    # ComfyUI's second start has the bytecode of its first; a machine of tests may be told to write none.
    env, bar = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}, 0.15 * slowness()
    reported = []
    for _ in range(TRIES):
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, env=env)
        log = done.stdout + done.stderr
        line = re.search(rf"([0-9.]+) seconds(.*): .*{PACK}", log)
        assert line and "FAILED" not in line[2], log[-3000:]
        reported.append(float(line[1]))
        if reported[-1] < bar:
            break
    assert min(reported) < bar, f"seconds that ComfyUI has reported: {reported}"
