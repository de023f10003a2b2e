"""What an export refuses, and what it leaves when it fails: nothing."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path
from types import SimpleNamespace

import pytest
from comfyui_uso.trainer.curate.export.write import FORMATS, write_export
from comfyui_uso.uso_model.errors import UserError


def everything(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


@pytest.mark.parametrize("kind", FORMATS)
def test_a_damaged_picture(kind, run, tmp_path):
    before = everything(tmp_path)
    picture = next((run / "pictures").rglob("*.png"))
    data = bytearray(picture.read_bytes())
    data[-20] ^= 1
    picture.write_bytes(data)
    with pytest.raises(UserError, match=rf"{picture.name} is damaged; `uso curate verify`") as caught:
        write_export(run, tmp_path / "out", kind)
    assert "\n" not in str(caught.value) and everything(tmp_path) == before


@pytest.mark.parametrize("kind", FORMATS)
def test_what_is_no_picture(kind, tmp_path):
    (tmp_path / "hand").mkdir()
    (tmp_path / "hand/a.png").write_text("words")
    (tmp_path / "hand/manifest.jsonl").write_text('{"id": "1", "target": "a.png"}')
    with pytest.raises(UserError, match=r"a\.png is no picture that can be read here; take its row out"):
        write_export(tmp_path / "hand", tmp_path / "out", kind)


def test_an_absent_picture(run, tmp_path):
    shutil.rmtree(run / "pictures")
    (run / "pictures").mkdir()
    with pytest.raises(UserError, match=r"\.png is not there; put it back, or accept rows anew"):
        write_export(run, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_is_there_stays(run, tmp_path):
    out = tmp_path / "out"
    write_export(run, out)
    with pytest.raises(UserError, match="out is there already; name another place"):
        write_export(run, out, "webdataset")
    write_export(run, out, "webdataset", force=True)
    assert {path.name for path in out.iterdir()} == {"README.md", "data"}
    (out / "mine.txt").write_text("notes")
    with pytest.raises(UserError, match=r"is no export, it holds .*mine\.txt"):
        write_export(run, out, force=True)
    with pytest.raises(UserError, match="is no export, it holds"):
        write_export(run, run, force=True)
    assert {path.name for path in tmp_path.iterdir()} == {"run", "out"}, "nothing hidden is left"


@pytest.mark.parametrize("kind", FORMATS)
def test_a_full_disk(kind, run, tmp_path, monkeypatch):
    write_export(run, tmp_path / "out")
    before = everything(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=100))
    with pytest.raises(OSError, match=r"0\.0 MB free, the export needs 0\.0 MB; make room"):
        write_export(run, tmp_path / "other", kind)
    monkeypatch.undo()
    error = OSError(28, "No space left on device")

    def full(*_, **__):
        raise error

    monkeypatch.setattr("comfyui_uso.trainer.curate.export.write.card", full)
    with pytest.raises(OSError, match=r"out cannot be written .*make room on the disk"):
        write_export(run, tmp_path / "out", kind, force=True)
    assert everything(tmp_path) == before


@pytest.mark.skipif(os.name != "posix", reason="the size of files can be limited on Unix only")
@pytest.mark.parametrize("kind", FORMATS)
def test_a_file_that_cannot_be_written_whole(kind, run, tmp_path):
    import resource

    write_export(run, tmp_path / "warm", kind)  # what is imported is read, and compiled, before
    shutil.rmtree(tmp_path / "warm")
    before = everything(tmp_path)
    handler, limits = signal.signal(signal.SIGXFSZ, signal.SIG_IGN), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (700, limits[1]))
    try:
        with pytest.raises(OSError, match=r"(out|manifest\.jsonl|parquet) cannot be written .*too large") as caught:
            write_export(run, tmp_path / "out", kind)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert everything(tmp_path) == before and "\n" not in str(caught.value)


def test_no_rows(run, tmp_path):
    (run / "manifest.jsonl").unlink()
    with pytest.raises(UserError, match="has no accepted rows; choose them with `uso curate accept` first"):
        write_export(run, tmp_path / "out")
    with pytest.raises(UserError, match="is not there"):
        write_export(tmp_path / "nothing", tmp_path / "out")
