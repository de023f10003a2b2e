"""One driver at a time for each share of a run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from comfyui_uso.trainer.curate.run.driver import Counts
from comfyui_uso.trainer.curate.run.lease import FOLDER, Lease, others
from comfyui_uso.uso_model.errors import UserError


def test_the_second_driver_is_told_of_the_first(tmp_path: Path) -> None:
    with Lease(tmp_path):
        with (
            pytest.raises(UserError, match=rf"process {os.getpid()} on .*--shard 1/2 and --shard 2/2"),
            Lease(tmp_path),
        ):
            pass
        assert len(others(tmp_path)) == 1, "the second one has left nothing"
    with Lease(tmp_path):
        pass
    assert others(tmp_path) == []


@pytest.mark.parametrize(
    ("one", "other", "free"),
    [
        ((1, 2), (2, 2), True),
        ((1, 2), (1, 2), False),
        ((1, 2), (1, 1), False),
        ((1, 2), (1, 3), False),
        ((1, 2), (2, 4), True),
        ((1, 2), (3, 4), False),
        ((2, 6), (3, 4), True),
    ],
)
def test_shares_that_overlap_are_refused(
    tmp_path: Path, one: tuple[int, int], other: tuple[int, int], free: bool
) -> None:
    assert free != bool(set(range(one[0] - 1, 240, one[1])) & set(range(other[0] - 1, 240, other[1])))
    with Lease(tmp_path, one):
        if free:
            with Lease(tmp_path, other):
                pass
        else:
            with pytest.raises(UserError, match=rf"--shard {one[0]}/{one[1]}"), Lease(tmp_path, other):
                pass


def foreign(run: Path, host: str, pid: int, age: float = 0.0) -> Path:
    path = run / FOLDER / "0.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"host": host, "pid": pid, "shard": [1, 1], "since": 1.0}), encoding="utf-8")
    then = time.time() - age
    os.utime(path, (then, then))
    return path


def test_another_hosts_driver_counts_for_two_minutes(tmp_path: Path) -> None:
    path = foreign(tmp_path, "render-2", 7, age=100)
    with pytest.raises(UserError, match="process 7 on render-2"), Lease(tmp_path):
        pass
    foreign(tmp_path, "render-2", 7, age=130)
    with Lease(tmp_path):
        assert not path.exists()


def test_a_dead_process_of_this_machine_is_taken_over_at_once(tmp_path: Path) -> None:
    with Lease(tmp_path):
        host = others(tmp_path)[0].host
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    path = foreign(tmp_path, host, done.pid)
    with Lease(tmp_path):
        assert not path.exists()


def test_a_file_that_says_nothing_stops_nobody(tmp_path: Path) -> None:
    foreign(tmp_path, "x", 1).write_text("{", encoding="utf-8")
    with Lease(tmp_path):
        pass


def test_a_driver_that_slept_gives_way_to_the_one_that_took_over(tmp_path: Path) -> None:
    with Lease(tmp_path, beat=0.05) as slept:
        next((tmp_path / FOLDER).glob("*.json")).unlink()
        deadline = time.monotonic() + 5
        while not others(tmp_path) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert len(others(tmp_path)) == 1 and slept.why_lost() is None, "nobody else was there"
        own = others(tmp_path)[0].path
        foreign(tmp_path, "render-2", 7)
        own.unlink()
        while slept.why_lost() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        assert "render-2" in str(slept.why_lost())


def test_what_can_be_no_folder_of_a_run(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    for path, match in ((file, "file is a file, expected the folder of a run"), (tmp_path / "a\0b", "is no path")):
        with pytest.raises(UserError, match=match), Lease(path):
            pass
    assert file.read_text() == "mine"


def test_the_heartbeat_tells_of_steps_while_others_begin() -> None:
    counts, ended, before = Counts(), threading.Event(), sys.getswitchinterval()

    def begin() -> None:
        for number in range(200_000):
            if ended.is_set():
                return
            counts.waiting[str(number)] += 1
            counts.running[str(number)] += 1

    thread = threading.Thread(target=begin)
    sys.setswitchinterval(1e-5)
    try:
        thread.start()
        for _ in range(30):
            counts.told()
    finally:
        ended.set()
        sys.setswitchinterval(before)
        thread.join()
