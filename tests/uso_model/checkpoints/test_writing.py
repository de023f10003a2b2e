"""Writes that fail say so in one sentence, and those that succeed leave an ordinary file of any name."""

from __future__ import annotations

import os
import stat
import time
from pathlib import Path

import pytest
import torch
from comfyui_uso.uso_model.checkpoints.files import (
    atomic_write,
    read_shapes,
    remove_leftovers,
    write_safetensors,
)
from safetensors import SafetensorError

TENSORS = {"a": torch.zeros(1)}


@pytest.mark.parametrize("length", [100, 230, 250, 255])
def test_a_name_as_long_as_a_name_can_be(length: int, tmp_path: Path) -> None:
    name = "a" * (length - len(".safetensors")) + ".safetensors"
    write_safetensors(tmp_path / name, TENSORS)
    assert os.listdir(tmp_path) == [name]


def test_a_name_that_is_too_long_is_told(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"cannot be written .*choose a shorter name"):
        write_safetensors(tmp_path / ("a" * 256), TENSORS)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("error", "cure"),
    [
        (SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"), "make room"),
        (SafetensorError("I/O error: Read-only file system (os error 30)"), "folder that can be written to"),
        (OSError(28, "No space left on device"), "make room on the disk"),
        (PermissionError(13, "Permission denied"), "folder that you may write to"),
    ],
)
def test_what_stops_a_write_becomes_one_sentence(error: Exception, cure: str, tmp_path: Path) -> None:
    def fail(temporary: str) -> None:
        Path(temporary).write_bytes(b"half")
        raise error

    with pytest.raises(OSError, match=cure) as caught:
        atomic_write(tmp_path / "m.safetensors", fail)
    told = str(caught.value)
    assert told.startswith(f"{tmp_path}/m.safetensors cannot be written (") and "\n" not in told
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(os.name != "posix", reason="modes are those of POSIX")
@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_a_new_file_has_the_mode_of_any_new_file(mask: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = os.umask(mask)
    try:
        # The umask is that of the whole process: changing it, if only to learn it, would open other threads' files.
        monkeypatch.setattr(os, "umask", None)
        write_safetensors(tmp_path / "m.safetensors", TENSORS)
    finally:
        monkeypatch.undo()
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "m.safetensors").stat().st_mode) == 0o666 & ~mask


def test_a_folder_in_the_way_is_told(tmp_path: Path) -> None:
    (tmp_path / "m.safetensors").mkdir()
    with pytest.raises(OSError, match="move the folder of that name away"):
        write_safetensors(tmp_path / "m.safetensors", TENSORS)
    with pytest.raises(OSError, match="cannot be written"):
        (tmp_path / "file").write_text("")
        write_safetensors(tmp_path / "file" / "m.safetensors", TENSORS)


def test_leftovers_go_when_they_are_old(tmp_path: Path) -> None:
    write_safetensors(tmp_path / "m.safetensors", TENSORS)
    for name, age in ((".a.part", 7200), (".b.part", 60), ("c.part", 7200)):
        (tmp_path / name).write_bytes(b"")
        os.utime(tmp_path / name, (time.time() - age,) * 2)
    assert remove_leftovers(tmp_path) == 1
    assert sorted(os.listdir(tmp_path)) == [".b.part", "c.part", "m.safetensors"]
    assert read_shapes(tmp_path / "m.safetensors") == {"a": (1,)}
