"""Decisions of people: the last one of a row counts, a torn line costs itself alone, new pictures need a new one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from comfyui_uso.trainer.curate.decisions import (
    FILE,
    Decision,
    append_decisions,
    decided,
    read_decisions,
    read_saved,
    seen,
)
from comfyui_uso.trainer.curate.ledger import Entry
from comfyui_uso.trainer.curate.pictures import Stored
from comfyui_uso.trainer.curate.pipeline import Progress
from comfyui_uso.trainer.curate.steps import Row
from comfyui_uso.uso_model.errors import UserError

A, B = "a" * 32, "b" * 32


def test_the_last_one_counts_whatever_the_order(tmp_path: Path) -> None:
    assert read_decisions(tmp_path) == {}
    assert append_decisions(tmp_path, [Decision(A, True, 2.0), Decision(B, False, 1.0, "x")]) == 2
    assert append_decisions(tmp_path, [Decision(A, True, 2.0)]) == 0
    assert append_decisions(tmp_path, [Decision(A, False, 1.0)]) == 0, "an older file of another person"
    assert append_decisions(tmp_path, [Decision(A, False, 2.0), Decision(B, None, 3.0)]) == 2
    assert read_decisions(tmp_path) == {A: Decision(A, False, 2.0), B: Decision(B, None, 3.0)}
    assert len((tmp_path / FILE).read_text().splitlines()) == 4


def test_a_torn_line_costs_itself_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    append_decisions(tmp_path, [Decision(A, True, 1.0)])
    with (tmp_path / FILE).open("ab") as file:
        file.write(b'{"row": "bbbb')
    append_decisions(tmp_path, [Decision(B, True, 2.0)])
    assert set(read_decisions(tmp_path)) == {A, B}
    assert "1 lines that are no decisions" in caplog.text


def test_a_saved_file_is_read_with_care(tmp_path: Path) -> None:
    path = tmp_path / "saved.jsonl"
    good = {"row": A, "accept": True, "time": 1}
    for wrong, words in (
        ("", "holds no decisions"),
        ("{", "is not JSON"),
        ("[]", "expected a decision"),
        (json.dumps({**good, "row": "../../x"}), "expected 32"),
        (json.dumps({**good, "row": None}), "expected 32"),
        (json.dumps({**good, "accept": "yes"}), "expected true"),
        (json.dumps({"row": A, "time": 1}), "expected true"),
        (json.dumps({**good, "accept": 1}), "expected true"),
        (json.dumps({**good, "time": True}), "seconds since 1970"),
        ('{"row": "' + A + '", "accept": true, "time": NaN}', "seconds since 1970"),
        ('{"row": "' + A + '", "accept": true, "time": 1e999}', "seconds since 1970"),
        ('{"row": "' + A + '", "accept": true, "time": 1' + "0" * 400 + "}", "seconds since 1970"),
        (json.dumps({**good, "pictures": 3}), "expected a short hash"),
    ):
        path.write_text(wrong)
        with pytest.raises(UserError, match=words):
            read_saved(path, tmp_path, [A])
    path.write_text(json.dumps(good) + "\n")
    assert read_saved(path, tmp_path, [A, B]) == {A: Decision(A, True, 1.0)}
    with pytest.raises(UserError, match="is not there"):
        read_saved(tmp_path / "other.jsonl", tmp_path, [A])
    with pytest.raises(UserError, match="decisions of other rows"):
        read_saved(path, tmp_path, [B])


def test_a_decision_is_about_pictures() -> None:
    stored = {"target": Stored("0" * 64, 1), "style": Stored("1" * 64, 1)}
    progress = Progress(Row(A, "a.png", "1", "preserved"))
    for name, picture in stored.items():
        progress.entries[name] = Entry(A, name, name, 0, "done", 1.0, pictures={name: picture})
    of = seen(stored)
    assert decided(progress, {}) is None
    assert decided(progress, {A: Decision(A, True, 1.0)}) is True
    assert decided(progress, {A: Decision(A, False, 1.0, of)}) is False
    assert decided(progress, {A: Decision(A, None, 1.0, of)}) is None
    progress.entries["style"] = Entry(A, "style", "x", 0, "done", 2.0, pictures={"style": Stored("2" * 64, 1)})
    assert decided(progress, {A: Decision(A, True, 1.0, of)}) is None, "the row was drawn anew"
