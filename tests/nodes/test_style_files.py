"""Styles as files: kept, read again, refused where they do not fit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import folder_paths
import pytest
import torch
from comfyui_uso.nodes.sockets import Style
from comfyui_uso.nodes.style import ProjectStyle
from comfyui_uso.nodes.style_files import FOLDER, LoadStyle, SaveStyle, style_names
from comfyui_uso.uso_model.checkpoints.files import write_safetensors
from comfyui_uso.uso_model.errors import UserError


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give ComfyUI an empty folder of styles."""
    monkeypatch.setitem(folder_paths.folder_names_and_paths, FOLDER, ([str(tmp_path)], {".safetensors"}))
    monkeypatch.setattr(folder_paths, "filename_list_cache", {})
    return tmp_path


@pytest.fixture
def style(features: Any, core_projector: Any) -> Style:
    return ProjectStyle.execute(features(2, 9), core_projector, 1.0, 0.5, 0.0).result[0]


def test_a_style_comes_back(folder: Path, style: Style, core_projector: Any) -> None:
    picture = torch.rand(1, 300, 200, 3)
    assert SaveStyle.execute(style, "warm ink", False, picture).result[0] is style
    assert [path.name for path in folder.iterdir()] == ["warm ink.safetensors"]
    assert (folder / "warm ink.safetensors").stat().st_size < 400_000
    back, thumbnail = LoadStyle.execute("warm ink.safetensors", core_projector).result
    assert back.counts == style.counts and back.projector == style.projector
    assert torch.allclose(back.tokens, style.tokens, atol=2e-3) and torch.equal(back.bias, style.bias)
    assert thumbnail.shape == (1, 192, 128, 3)


def test_without_a_thumbnail_it_is_grey(folder: Path, style: Style) -> None:
    SaveStyle.execute(style, "plain", False)
    assert LoadStyle.execute("plain.safetensors").result[1].std() == 0


def test_another_projector_is_refused(folder: Path, style: Style, make_projector: Any) -> None:
    SaveStyle.execute(style, "mine", False)
    with pytest.raises(ValueError, match=r"mine\.safetensors was made with another projector"):
        LoadStyle.execute("mine.safetensors", make_projector(seed=8))


def test_nothing_is_overwritten_unasked(folder: Path, style: Style) -> None:
    SaveStyle.execute(style, "mine", False)
    before = (folder / "mine.safetensors").stat().st_mtime_ns
    SaveStyle.execute(style, "mine", False)  # the same style again, as after a restart
    other = replace(style, tokens=style.tokens + 1)
    with pytest.raises(ValueError, match="set overwrite"):
        SaveStyle.execute(other, "mine", False)
    assert (folder / "mine.safetensors").stat().st_mtime_ns == before
    SaveStyle.execute(other, "mine", True)
    assert (folder / "mine.safetensors").stat().st_mtime_ns != before


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (" . ", "letters or digits"),
        ("", "letters or digits"),
        ("../../up", "in each folder"),
        ("..\\c", "in each folder"),
        ("/etc/x", "in each folder"),
        ("a//b", "in each folder"),
        ("C:\\styles\\x", "without ':'"),
        ("sub/nul/x", "reserved"),
        ("sub./x", "dot"),
        (".safetensors", "letters or digits"),
        ("sub/.safetensors", "letters or digits"),
        ("a:b", "without ':'"),
        ("what?", r"without '\?'"),
        ("two\nlines", "without"),
        ("nul", "reserved"),
        ("CON", "reserved"),
        ("COM1.txt", "reserved"),
        (".hidden", "dot"),
        ("ends.", "dot"),
        ("x" * 201, "201 bytes"),
        ("\u3042" * 75, "225 bytes"),
    ],
)
def test_names_that_make_no_file_everywhere_are_said(name: str, words: str, folder: Path, style: Style) -> None:
    with pytest.raises(UserError, match=words) as caught:
        SaveStyle.execute(style, name, False)
    assert len(str(caught.value)) < 300 and list(folder.iterdir()) == []


@pytest.mark.parametrize("name", ["warm ink", "v1.5 (new) & 'so on'!", "\u3042" * 66, "x" * 200, "console", " ends "])
def test_names_are_kept_as_they_were_typed(name: str, folder: Path, style: Style) -> None:
    SaveStyle.execute(style, name, False)
    assert [path.name for path in folder.iterdir()] == [f"{name.strip()}.safetensors"]
    LoadStyle.execute(f"{name.strip()}.safetensors")


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("warm.safetensors", "warm.safetensors"),
        ("Warm.SafeTensors", "Warm.safetensors"),
        ("ink/warm", "ink/warm.safetensors"),
        ("ink\\warm.safetensors", "ink/warm.safetensors"),
        (" ink / deep / warm ", "ink/deep/warm.safetensors"),
        ("\u6c34\u5f69/\u6696\u8272", "\u6c34\u5f69/\u6696\u8272.safetensors"),
        ("e\u0301t\u00e9", "\u00e9t\u00e9.safetensors"),
    ],
)
def test_endings_and_sub_folders(name: str, file: str, folder: Path, style: Style) -> None:
    for _ in range(2):  # the second run finds its own file
        SaveStyle.execute(style, name, False)
    assert [path.relative_to(folder).as_posix() for path in folder.rglob("*.safetensors")] == [file]
    with pytest.raises(UserError, match="set overwrite"):
        SaveStyle.execute(replace(style, tokens=style.tokens + 1), name, False)
    folder_paths.filename_list_cache.clear()
    assert style_names() == [file]
    for typed in (file, file.replace("/", "\\"), file.removesuffix(".safetensors")):
        assert LoadStyle.validate_inputs(typed) is True and LoadStyle.fingerprint_inputs(typed)
        assert LoadStyle.execute(typed).result[0].counts == style.counts


def test_a_style_that_is_not_there_is_said(folder: Path, style: Style) -> None:
    SaveStyle.execute(style, "there", False)
    for name in ("gone", "../../gone", "there.safetensors/x", ""):
        told = LoadStyle.validate_inputs(name)
        assert isinstance(told, str) and "is not in models/uso_styles, expected one of the 1 styles there" in told
        assert LoadStyle.fingerprint_inputs(name) == ""
        with pytest.raises(UserError, match="is not in models/uso_styles"):
            LoadStyle.execute(name)
    assert LoadStyle.validate_inputs() is True, "a name that comes by a link"


def test_a_file_where_a_folder_is_needed_is_said(folder: Path, style: Style) -> None:
    (folder / "ink").write_bytes(b"")
    with pytest.raises(UserError, match=r"\Aink in models/uso_styles is a file, expected a folder for ink/warm"):
        SaveStyle.execute(style, "ink/warm", False)


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_thumbnails_of_every_kind(channels: int, dtype: torch.dtype, folder: Path, style: Style) -> None:
    picture = torch.full((2, 20, 10, channels), 0.25, dtype=dtype)
    SaveStyle.execute(style, "x", False, picture)
    thumbnail = LoadStyle.execute("x.safetensors").result[1]
    assert thumbnail.shape == (1, 20, 10, 3) and (channels == 4 or (thumbnail - 0.25).abs().max() < 0.01)


def test_what_has_the_name_already_is_said(folder: Path, style: Style) -> None:
    (folder / "taken.safetensors").mkdir()
    for overwrite in (False, True):
        with pytest.raises(UserError, match=r"\Ataken\.safetensors in models/uso_styles is a folder"):
            SaveStyle.execute(style, "taken", overwrite)
    (folder / "junk.safetensors").write_bytes(b"no style at all")
    with pytest.raises(UserError, match=r"\Ajunk\.safetensors is already in models/uso_styles.*set overwrite"):
        SaveStyle.execute(style, "junk", False)
    SaveStyle.execute(style, "junk", True)
    assert LoadStyle.execute("junk.safetensors").result[0].counts == style.counts


def test_values_that_float16_cannot_hold_are_said(folder: Path, style: Style) -> None:
    with pytest.raises(UserError, match=r"big\.safetensors, expected none above 65504"):
        SaveStyle.execute(replace(style, tokens=style.tokens + 1e6), "big", False)


def test_another_file_is_refused(folder: Path) -> None:
    write_safetensors(folder / "lora.safetensors", {"a": torch.zeros(1)})
    with pytest.raises(ValueError, match=r"lora\.safetensors is no style file"):
        LoadStyle.execute("lora.safetensors")


def test_only_safetensors_are_offered(folder: Path) -> None:
    (folder / "notes.txt").write_text("x", encoding="utf-8")
    write_safetensors(folder / "a.safetensors", {"a": torch.zeros(1)})
    assert style_names() == ["a.safetensors"]
