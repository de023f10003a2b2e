"""Shifted rows without a caption get one from a vision language model; the others cost no question."""

from __future__ import annotations

from pathlib import Path

import pytest
from comfyui_uso.cli import main
from comfyui_uso.trainer.data.manifest import read_manifest

from .fake_vlm import fake_vlm
from .judged import blobs, curated


def test_captions_what_the_source_does_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUDGE_KEY", "k")
    run = tmp_path / "run"
    source = tmp_path / "run-source"
    source.mkdir()
    (source / "b.txt").write_text("a told dog", encoding="utf-8")
    with fake_vlm() as server:
        caption = {"model": "judge", "endpoint": server.address, "key_env": "JUDGE_KEY", "patience": 0.3}
        found = curated(run, {"a.png": blobs(1), "b.png": blobs(2)}, caption=caption)
        again = curated(run, {"a.png": blobs(1), "b.png": blobs(2)}, caption=caption)
        assert len([one for one in server.requests if "messages" in one]) == 1
    assert [one.standing for one in found] == ["complete"] * 4
    prompts = {(one.row.key, one.row.layout): one.prompt for one in found}
    assert prompts == {
        ("a.png", "preserved"): "",
        ("a.png", "shifted"): "A cat sits on a wall.",
        ("b.png", "preserved"): "",
        ("b.png", "shifted"): "a told dog",
    }
    assert {(one.row.key, one.row.layout): one.prompt for one in again} == prompts
    assert main(["curate", "accept", str(run), "--near", "-1", "--split", "validation=0"]) == 0
    rows = read_manifest(run / "manifest.jsonl", split=None)
    assert sorted(row.prompt for row in rows) == sorted(prompts.values())


def test_a_row_for_which_no_other_subject_is_left_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "run-source").mkdir()
    (tmp_path / "run-source/a.txt").write_text("two cats", encoding="utf-8")
    found = curated(tmp_path / "run", {"a.png": blobs(1)})
    assert [one.standing for one in found] == ["rejected"] * 2 and "every subject of the list" in found[0].reason
