"""Whatever is killed at whatever moment: every row comes once, and only what was in flight is done again."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import pytest

from .. import cheap

ROWS, KILLS, WORKERS = 200, 10, 2


@pytest.mark.long
def test_ten_kills_of_driver_and_workers(tmp_path: Path) -> None:
    cheap.recipe(tmp_path, ROWS, devices=["a", "b"], seconds=0.05)
    chance, killed = random.Random(0), {"driver": 0, "worker": 0}
    driver = cheap.start(tmp_path)
    while sum(killed.values()) < KILLS:
        before = cheap.calls(tmp_path)
        while cheap.calls(tmp_path) < before + chance.randrange(1, 40):
            assert driver.poll() is None, driver.communicate()[0]
            time.sleep(0.01)
        time.sleep(chance.uniform(0, 0.06))
        if chance.random() < 0.5:
            pid = int((tmp_path / "calls").read_text(encoding="utf-8").splitlines()[-1].split()[0])
            killed["worker"] += 1
            os.kill(pid, signal.SIGKILL)
        else:
            killed["driver"] += 1
            driver.kill()
            driver.communicate()
            driver = cheap.start(tmp_path)
    out, _ = driver.communicate(timeout=120)
    assert driver.returncode == 0, out
    cheap.whole(tmp_path, ROWS)
    assert min(killed.values()) > 1, killed
    assert cheap.calls(tmp_path) <= ROWS * 2 + WORKERS * KILLS
