"""Large sets: what an import of 100,000 files takes."""

from __future__ import annotations

import io
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from ....machine import at_most

REPORT = "print('peak', int(open('/proc/self/status').read().split('VmHWM:')[1].split()[0]) // 1024)"
"""Of this process alone: what `getrusage` tells includes what the one that started it had."""
MODULES = "import sys; print('torch' in sys.modules)"


def imported(folder: Path, after: str) -> str:
    """Import a folder in a process of its own and return what it printed."""
    code = f"from comfyui_uso.cli import main; main(sys.argv[1:]); {after}"
    command = [sys.executable, "-c", f"import sys; {code}", "import", "pictures", str(folder), "--reference", "style"]
    return subprocess.run(command, capture_output=True, text=True, timeout=600, check=True).stdout


def test_an_import_does_without_torch(files) -> None:
    root = files("p/0.png", "p/1.png")
    assert imported(root / "p", MODULES).endswith("False\n")


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is asked of Linux")
def test_a_hundred_thousand_pictures_take_a_minute_and_half_a_gigabyte(tmp_path: Path) -> None:
    data = io.BytesIO()
    Image.new("RGB", (16, 16)).save(data, "PNG")
    for number in range(100_000):
        (tmp_path / f"{number:06d}.png").write_bytes(data.getvalue())
        if number % 2:
            (tmp_path / f"{number:06d}.txt").write_text(f"caption {number}", encoding="utf-8")
    with at_most(60, time.perf_counter):
        out = imported(tmp_path, REPORT)
    assert "50000 of 100000 pictures have a caption" in out
    assert int(re.findall(r"peak (\d+)", out)[-1]) <= 500
