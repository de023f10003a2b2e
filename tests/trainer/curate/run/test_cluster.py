"""The same steps on Ray, with kills; skipped where Ray is not installed."""

from __future__ import annotations

import os
import random
import signal
import time
from importlib.util import find_spec
from pathlib import Path

import pytest

from .. import cheap

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(find_spec("ray") is None, reason='ray is not installed: pip install -e ".[cluster]"'),
]

ROWS, KILLS, WORKERS = 60, 6, 2


def test_kills_of_driver_and_actors(tmp_path: Path) -> None:
    cheap.recipe(tmp_path, ROWS, devices=["a", "b"], seconds=0.1)
    chance, killed = random.Random(1), {"driver": 0, "actor": 0}
    driver = cheap.start(tmp_path, "--engine", "ray")
    while sum(killed.values()) < KILLS:
        before = cheap.calls(tmp_path)
        while cheap.calls(tmp_path) < before + chance.randrange(1, 15):
            assert driver.poll() is None, driver.communicate()[0]
            time.sleep(0.01)
        if sum(killed.values()) % 3:
            pid = int((tmp_path / "calls").read_text(encoding="utf-8").splitlines()[-1].split()[0])
            assert pid != driver.pid
            killed["actor"] += 1
            os.kill(pid, signal.SIGKILL)
        else:
            killed["driver"] += 1
            driver.kill()
            driver.communicate()
            driver = cheap.start(tmp_path, "--engine", "ray")
    out, _ = driver.communicate(timeout=180)
    assert driver.returncode == 0, out
    cheap.whole(tmp_path, ROWS)
    assert cheap.calls(tmp_path) <= ROWS * 2 + WORKERS * KILLS
