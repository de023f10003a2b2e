"""The time that ComfyUI itself reports for importing the pack."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import COMFY, FOLDERS, HERE, PACK

TRIES = 3
"""The first run may have to compile the modules, and other work on the machine may get in between."""


@pytest.mark.long
def test_comfyui_reports_a_quick_import(tmp_path: Path) -> None:
    """ComfyUI rounds to tenths, so 0.1 stands for less than 0.15 seconds."""
    for name in FOLDERS:
        (tmp_path / name).mkdir()
    (tmp_path / "custom_nodes" / PACK).symlink_to(HERE.parents[1], target_is_directory=True)
    command = [
        *(sys.executable, str(COMFY / "main.py"), "--cpu", "--quick-test-for-ci", "--disable-api-nodes"),
        *("--base-directory", str(tmp_path), "--database-url", "sqlite:///:memory:"),
    ]
    reported = []
    for _ in range(TRIES):
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, env=os.environ)
        log = done.stdout + done.stderr
        line = re.search(rf"([0-9.]+) seconds(.*): .*{PACK}", log)
        assert line and "FAILED" not in line[2], log[-3000:]
        reported.append(float(line[1]))
        if reported[-1] <= 0.1:
            break
    assert min(reported) <= 0.1, f"seconds that ComfyUI has reported: {reported}"
