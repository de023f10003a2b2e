"""`uso curate run` as a person has it: stopped, begun twice, on shares."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from comfyui_uso.trainer.curate.ledger import Ledger

from .. import cheap


@pytest.mark.long
def test_ctrl_c_lets_steps_in_flight_end_and_a_second_driver_is_refused(tmp_path: Path) -> None:
    cheap.recipe(tmp_path, 400, seconds=0.2)
    driver = cheap.start(tmp_path)
    while cheap.calls(tmp_path) < 2:
        assert driver.poll() is None, driver.communicate()[0]
        time.sleep(0.01)
    second = cheap.start(tmp_path)
    told, _ = second.communicate(timeout=60)
    assert second.returncode == 2 and f"in process {driver.pid} on " in told and "--shard 1/2" in told, told
    driver.send_signal(signal.SIGINT)
    out, _ = driver.communicate(timeout=60)
    assert driver.returncode == 130 and out.splitlines()[-1] == "uso: stopped", out
    drawn = [one for one in Ledger(tmp_path / "run").entries() if one.step in cheap.DRAWN]
    assert len(drawn) == cheap.calls(tmp_path), "what was in flight has ended and counts"
    assert not list((tmp_path / "run/drivers").iterdir())


@pytest.mark.long
def test_shares_of_two_drivers_are_one_run(tmp_path: Path) -> None:
    cheap.recipe(tmp_path, 60, seconds=0.02)
    drivers = [cheap.start(tmp_path, "--shard", f"{number}/2") for number in (1, 2)]
    for driver in drivers:
        out, _ = driver.communicate(timeout=60)
        assert driver.returncode == 0, out
    cheap.whole(tmp_path, 60)
    assert cheap.calls(tmp_path) == 120


def test_a_run_begins_without_torch() -> None:
    """It takes seconds to import, and the first call of an expert is to come within two."""
    probe = "import sys, comfyui_uso.trainer.curate.run.start; sys.exit(len({'torch', 'scipy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", probe], env=cheap.environment(), check=False).returncode == 0
