"""One driver at a time for each share of a run."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

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


def foreign(run: Path, host: str, pid: int, age: float = 0.0, **more: str) -> Path:
    path = run / FOLDER / "0.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"host": host, "pid": pid, "shard": [1, 1], "since": 1.0, **more}), encoding="utf-8")
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


def ended() -> int:
    """Return the number of a process that is no more."""
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    return done.pid


def test_a_dead_process_of_this_machine_is_taken_over_at_once(tmp_path: Path) -> None:
    with Lease(tmp_path):
        (own,) = others(tmp_path)
    path = foreign(tmp_path, own.host, ended(), machine=own.machine)
    with Lease(tmp_path):
        assert not path.exists()


@pytest.mark.parametrize("system", ["linux", "other", "other without a card"])
def test_a_machine_of_the_same_name_is_another_one(
    system: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As are copies of a virtual machine."""
    read_text = Path.read_text
    boots = {"linux": "4b1d-first"}
    card = 0x0242AC110002 if system == "other" else 0x0342AC110002

    def read(path: Path, *args: Any, **told: Any) -> str:
        if path.name != "boot_id":
            return read_text(path, *args, **told)
        if system not in boots:
            raise FileNotFoundError(path)
        return boots[system] + "\n"

    monkeypatch.setattr(Path, "read_text", read)
    monkeypatch.setattr("uuid.getnode", lambda: card)
    if system == "linux" and not os.path.exists("/proc/self/ns/pid"):
        pytest.skip("this is no Linux")
    with Lease(tmp_path):
        (first,) = others(tmp_path)
    assert "4b1d" not in first.host and first.host == platform.node()
    boots["linux"], card = "9c2e-second", card + 1
    path = foreign(tmp_path, first.host, ended(), machine=first.machine)
    if system == "other without a card":  # what Python makes up is another number in each process
        with Lease(tmp_path):
            assert not path.exists()
        return
    with (
        pytest.raises(UserError, match=rf"process \d+ on {re.escape(platform.node())} \(--shard 1/1\)"),
        Lease(tmp_path),
    ):
        pass
    assert path.exists()


def test_heartbeats_of_older_versions_are_read_and_waited_for(tmp_path: Path) -> None:
    inode = os.stat("/proc/self/ns/pid").st_ino if os.path.exists("/proc/self/ns/pid") else 4026531836
    path = foreign(tmp_path, f"{platform.node()}/{inode}", ended(), age=100)
    with pytest.raises(UserError, match=rf"on {re.escape(platform.node())} \(--shard"), Lease(tmp_path):
        pass
    foreign(tmp_path, f"{platform.node()}/{inode}", ended(), age=130)
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
