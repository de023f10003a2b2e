"""What judges said is read for the rows that a page shows, and held for no others."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from pathlib import Path

from comfyui_uso.cli import main
from comfyui_uso.trainer.curate.ledger import FOLDER, Entry, Ledger
from comfyui_uso.trainer.curate.pipeline import Progress
from comfyui_uso.trainer.curate.raw_answers import with_raw
from comfyui_uso.trainer.curate.run_folder import candidates, read_run

from .reviewed import made_run

ROWS, LETTERS = 60, 300_000


def rows_of(run: Path) -> list[Progress]:
    return list(candidates(read_run(run)[1], Ledger(run)))


def test_answers_of_rows_that_are_not_shown_are_not_held(tmp_path: Path) -> None:
    run = tmp_path / "run"
    made_run(run, ROWS, lambda number: {"answer": f"said {number} " + "x" * LETTERS})
    assert main(["curate", "review", str(run), "--most", "2"]) == 0  # what is imported is there before
    tracemalloc.start()
    try:
        assert main(["curate", "review", str(run), "--most", "3"]) == 0
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < ROWS * LETTERS / 3
    texts = [path.read_text() for path in (run / "review/data").glob("*/details-0.js")]
    assert sorted(text.count("said ") for text in texts) == [2, 3], "of those that are shown"


def test_each_entry_gets_the_answer_of_its_own_line(tmp_path: Path) -> None:
    run = tmp_path / "run"
    made_run(run, 4, lambda number: {"answer": f"said {number}"})
    rows = rows_of(run)
    entries = [Entry.read(line) for line in (run / FOLDER / f"{'0' * 32}.jsonl").read_bytes().splitlines(True)]
    spoken = {entry.row: entry for entry in entries if entry.step == "vlm"}
    with (run / FOLDER / "another.jsonl").open("wb") as file:
        later = replace(spoken[rows[0].row.id], time=99.0, notes={"raw": {"answer": "said later"}})
        file.write(later.line() + b'{"id": "' + later.id.encode() + b'", "raw": 1}\n' + later.line()[:-9])
    assert all("raw" not in entry.notes for row in rows_of(run) for entry in row.entries.values())
    for row, plain in zip(with_raw(run, rows_of(run)[:3]), rows, strict=False):
        assert row.entries["vlm"] == spoken[row.row.id]
        assert row.entries["vlm"].without_raw() == plain.entries["vlm"]
        assert {name: entry for name, entry in row.entries.items() if name != "vlm"} == {
            name: entry for name, entry in plain.entries.items() if name != "vlm"
        }
