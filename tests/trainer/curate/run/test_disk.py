"""Disks that are full, that cannot fsync, and that deny for a moment."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from comfyui_uso.trainer.curate.build import build_steps
from comfyui_uso.trainer.curate.ledger import Entry, Ledger
from comfyui_uso.trainer.curate.pictures import Stored
from comfyui_uso.trainer.curate.pipeline import Pipeline, Progress
from comfyui_uso.trainer.curate.rows import rows_of
from comfyui_uso.trainer.curate.run.driver import Counts
from comfyui_uso.trainer.curate.run.local import run_local
from comfyui_uso.trainer.curate.run.room import with_room
from comfyui_uso.trainer.curate.run_folder import candidates, pipeline_of, read_run, write_run
from comfyui_uso.trainer.curate.sources.open import source_pictures
from comfyui_uso.trainer.curate.steps import Row, StepPlan

from .. import cheap

ROWS = 10


@pytest.fixture
def drive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Return what does a run of ten rows."""
    monkeypatch.syspath_prepend(cheap.HERE)
    config = cheap.config(tmp_path, ROWS)
    pictures = source_pictures(config.source)
    steps = build_steps(config, pictures)
    pipeline = pipeline_of(config, [step.plan for step in steps])
    write_run(tmp_path / "run", config, pipeline, rows_of(pictures.values(), config))

    def call() -> None:
        rows = list(rows_of(pictures.values(), config))
        run_local(pipeline, steps, rows, Ledger(tmp_path / "run"), counts=Counts(ROWS))

    return call


@pytest.mark.parametrize("what", ["journal", "pictures"])
def test_a_full_disk_stops_before_a_line_is_written(
    drive: Callable[[], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    writes, real, real_bytes = 0, os.write, Path.write_bytes

    def write(file: int, data: bytes) -> int:
        """Take half of the twentieth line, and nothing after it."""
        nonlocal writes
        writes += 1
        if writes == 20:
            return real(file, data[: len(data) // 2])
        if writes > 20:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(file, data)

    def write_bytes(path: Path, data: bytes) -> int:
        nonlocal writes
        writes += 1
        if writes > 20:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real_bytes(path, data)

    with monkeypatch.context() as patch:
        if what == "journal":
            patch.setattr("comfyui_uso.trainer.curate.journal.os.write", write)
        else:
            patch.setattr(Path, "write_bytes", write_bytes)
        with pytest.raises(OSError, match="make room on the disk: the ") as told:
            drive()
    _, pipeline = read_run(tmp_path / "run")
    ledger = Ledger(tmp_path / "run")
    left = ROWS - sum(one.standing == "complete" for one in candidates(pipeline, ledger))
    assert f"the {left} rows that are left need about 1 MB" in str(told.value), "a row that was stopped is left"
    (journal,) = (tmp_path / "run/journal").iterdir()
    assert journal.read_bytes().endswith(b"}\n"), "no half line"
    assert not list((tmp_path / "run/pictures").rglob(".*.part"))
    drive()
    cheap.whole(tmp_path, ROWS)
    # Three on a quiet machine; on a busy one more calls end before the driver hears of the line that was refused.
    assert cheap.calls(tmp_path) <= 2 * ROWS + 6, "what was in flight is drawn again"


def test_the_room_that_is_needed_is_that_of_whole_rows(tmp_path: Path) -> None:
    rows = [Row(str(number), str(number), "", "preserved") for number in range(8)]
    pipeline = Pipeline([StepPlan("target"), StepPlan("style", ("target",)), StepPlan("content", ("target",))])

    def needed(*made: tuple[str, str, int, int]) -> str:
        """Take row, step, number of its picture, and megabytes."""
        ledger = Ledger(tmp_path)
        for row, step, number, size in made:
            pictures = {step: Stored(f"{step} {number}", size * 1_000_000)}
            ledger.take(Entry(row, step, f"{row} {step} {number}", 0, "done", 1.0, pictures=pictures), "a")
        return str(with_room(OSError("full"), pipeline, ledger, rows))

    assert "the 8 rows that are left need about 38 MB" in needed(), "three pictures of a megapixel"
    targets = [(str(row), "target", row // 2, 4) for row in range(10)]  # two rows of each picture
    assert "about 42 MB" in needed(*targets), "2 MB and two megapixels"
    whole = [*targets, ("0", "style", 0, 3), ("1", "style", 1, 3), ("0", "content", 0, 5)]
    assert "about 80 MB" in needed(*whole), "2 + 3 + 5 MB"
    assert "about 80 MB" in needed(*whole, ("0", "style", 2, 3)), "drawn by other settings before"


def test_a_drive_without_fsync_will_do(
    drive: Callable[[], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fsync(file: int) -> None:
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr("os.fsync", fsync)
    drive()
    cheap.whole(tmp_path, ROWS)


def test_a_line_that_did_not_reach_the_disk_is_none(
    drive: Callable[[], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fsync(file: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", fsync)
        with pytest.raises(OSError, match="check the disk"):
            drive()
    assert len(Ledger(tmp_path / "run")) == 0


def test_a_scanner_that_holds_a_file_for_a_moment_is_waited_for(
    drive: Callable[[], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, denied = os.replace, 0

    def replace(source: str, target: str) -> None:
        nonlocal denied
        denied += 1
        if denied <= 2:
            raise PermissionError(errno.EACCES, "sharing violation")
        real(source, target)

    monkeypatch.setattr("os.replace", replace)
    drive()
    cheap.whole(tmp_path, ROWS)


@pytest.mark.parametrize("call", [1, 12])
def test_a_drive_that_fails_while_a_row_is_looked_at_loses_no_row(
    drive: Callable[[], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: int
) -> None:
    real, looked = Pipeline.progress, 0

    def progress(self: Pipeline, *asked: Any) -> Progress:
        nonlocal looked
        looked += 1
        if looked == call:
            raise OSError(errno.ESTALE, "Stale file handle")
        return real(self, *asked)

    with monkeypatch.context() as patch:
        patch.setattr(Pipeline, "progress", progress)
        with pytest.raises(OSError, match="Stale file handle"):
            drive()
    drive()
    cheap.whole(tmp_path, ROWS)
    assert cheap.calls(tmp_path) == 2 * ROWS, "what was in flight counts"
