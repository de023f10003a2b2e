"""No command writes over what is there unless `--force` says so."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pytest
from comfyui_uso import cli
from comfyui_uso.mini import demo
from comfyui_uso.mini.world import dataset
from comfyui_uso.trainer.replacing import require_new
from comfyui_uso.uso_model.errors import UserError
from comfyui_uso.uso_model.judging import csd


@pytest.mark.parametrize(
    ("words", "there"),
    [
        (["mini", "world", "--out", "set"], "set/manifest.jsonl"),
        (["mini", "world", "--out", "set"], "set/targets/mine.png"),
        (["mini", "sheet", "--out", "sheets"], "sheets/styles.png"),
        (["demo", "--out", "photo.png"], "photo.png"),
        (["csd", "bytes.bin", "csd.safetensors"], "csd.safetensors"),
        (["csd", "bytes.bin", "bytes.bin"], "bytes.bin"),
        (["import", "pictures", "set", "--reference", "style"], "set/manifest.jsonl"),
    ],
)
def test_what_is_there_stays(
    words: list[str], there: str, tmp_path: Path, monkeypatch: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(there).parent.mkdir(parents=True, exist_ok=True)
    Path(there).write_bytes(b"mine")
    assert cli.main(words) == 2
    err = capsys.readouterr().err
    assert "is there already" in err and "--force" in err and Path(there).read_bytes() == b"mine"


def test_a_person_may_say_so(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    written: list[Any] = []
    monkeypatch.setattr(demo, "run", written.append)
    monkeypatch.setattr(dataset, "write_data", lambda *args: written.append(args[0]))
    monkeypatch.setattr(csd, "convert_csd", lambda *args: written.append(args[1]))
    for path in ("out/demo.png", "photo.png", "set/manifest.jsonl", "csd.safetensors"):
        Path(path).parent.mkdir(exist_ok=True)
        Path(path).touch()
    for words in (
        ["demo"],
        ["demo", "--out", "out/demo.png"],
        ["demo", "--force", "--out", "photo.png"],
        ["mini", "world", "--out", "set", "--force"],
        ["csd", "a.bin", "csd.safetensors", "--force"],
    ):
        assert cli.main(words) == 0
    assert list(map(str, written)) == ["out/demo.png", "out/demo.png", "photo.png", "set", "csd.safetensors"]


def test_empty_folders_and_links_that_lead_nowhere(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    require_new([tmp_path / "empty", tmp_path / "absent"], force=False)
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(UserError, match="is there already"):
        require_new([tmp_path / "link"], force=False)


def test_every_command_that_names_a_place_can_be_asked() -> None:
    """`export` writes files with the run's own name, `report` and `review` their own pages, and benches go on."""
    from .test_arguments import COMMANDS

    def options(parser: argparse.ArgumentParser) -> set[str]:
        return {name for action in parser._actions for name in (*action.option_strings, action.dest)}

    writers = {words for words, parser in COMMANDS.items() if {"--out", "out"} & options(parser)}
    forced = {words for words, parser in COMMANDS.items() if "--force" in options(parser)}
    own = {
        ("export",),
        ("curate", "review"),
        ("mini", "report"),
        ("mini", "bench"),
        *(words for words in writers if words[0] == "eval"),
    }
    assert writers - forced <= own
