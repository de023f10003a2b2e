"""The nodes that save triplets and read them again: what comes in, what names may be, and what is said."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import folder_paths
import pytest
import torch
from comfy_execution.graph_utils import ExecutionBlocker
from comfyui_uso.nodes.graph.set_folders import all_manifests, set_manifest
from comfyui_uso.nodes.triplet_sets import LoadTriplet, SaveTriplet
from comfyui_uso.trainer.data.manifest import read_manifest
from comfyui_uso.uso_model.errors import UserError


@pytest.fixture
def output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give ComfyUI an empty output folder, and an empty input folder beside it."""
    (tmp_path / "input").mkdir()
    (tmp_path / "output").mkdir()
    monkeypatch.setattr(folder_paths, "output_directory", str(tmp_path / "output"))
    monkeypatch.setattr(folder_paths, "input_directory", str(tmp_path / "input"))
    return tmp_path / "output"


def image(count: int = 1, size: int = 16, channels: int = 3, seed: int = 0) -> torch.Tensor:
    made = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, size, size, channels), generator=made).float() / 255


def everything(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def test_what_was_saved_comes_back_to_the_bit(output: Path) -> None:
    target, style, content = image(2), image(3, seed=1), image(1, 24, seed=2)
    done = SaveTriplet.execute(target, style, content, prompt="a cat", layout="preserved", set_name="ink/cats")
    assert done.result == ("ink/cats", 2, str(output / "uso_sets/ink/cats"))
    shown = done.ui.as_dict()["images"]
    assert len(shown) == 2 + 3 + 1 and {item["type"] for item in shown} == {"output"}
    assert all((output / item["subfolder"] / item["filename"]).is_file() for item in shown)
    for index in (0, 1, -1):
        found = LoadTriplet.execute("ink/cats", index).result
        assert torch.equal(found[0][0], target[index]) and torch.equal(found[1], style)
        assert torch.equal(found[2], content) and found[3:] == ("a cat", "preserved", found[5], 2)
    before = everything(output)
    assert (
        SaveTriplet.execute(target, style, content, prompt="a cat", layout="preserved", set_name="ink/cats").result[1]
        == 2
    )
    assert everything(output) == before


def test_more_pictures_of_another_size_and_references_that_are_absent(output: Path) -> None:
    SaveTriplet.execute(image(), image(seed=1), style_2=image(2, 40, seed=2))
    (row,) = read_manifest(output / "uso_sets/my set/manifest.jsonl")
    assert (len(row.style), row.content, row.layout) == (3, None, "shifted")
    found = LoadTriplet.execute().result
    assert found[1].shape == (3, 16, 16, 3) and isinstance(found[2], ExecutionBlocker)
    with pytest.raises(UserError, match="expected a style or a content picture"):
        SaveTriplet.execute(image())


def test_transparency_is_white_as_in_training_and_grey_becomes_rgb(output: Path) -> None:
    clear = image(channels=4)
    clear[..., 3] = 0
    SaveTriplet.execute(clear, image(channels=1))
    target, style = LoadTriplet.execute().result[:2]
    assert target.min() == 1 and style.shape == (1, 16, 16, 3)


def test_without_a_target_nothing_is_saved(output: Path) -> None:
    assert isinstance(SaveTriplet.execute(style=image()).result[0], ExecutionBlocker)
    with pytest.raises(UserError, match="a picture to learn"):
        SaveTriplet.execute(None, image())
    assert everything(output) == []


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("", "letters or digits"),
        ("..", "letters or digits"),
        ("../../up", "in each folder"),
        ("a/../../b", "in each folder"),
        ("/etc/x", "in each folder"),
        ("C:\\sets\\x", "without ':'"),
        ("a:b", "without ':'"),
        ("CON", "reserved"),
        ("sub/nul.txt", "reserved"),
        ("ends.", "dot"),
        (".hidden", "dot"),
        ("nul\0byte", "without"),
        ("x" * 300, "300 bytes"),
        ("\U0001f642", "letters or digits"),
    ],
)
def test_names_that_make_no_folder_everywhere_are_said(name: str, words: str, output: Path) -> None:
    calls: list[Any] = [lambda: SaveTriplet.execute(image(), image(seed=1), set_name=name)]
    if len(name) < 300:
        calls.append(lambda: LoadTriplet.execute(name))
    for call in calls:
        with pytest.raises(UserError, match=words) as caught:
            call()
        assert len(str(caught.value)) < 300
    assert everything(output) == [] and everything(output.parent) == ["input", "output"]
    assert SaveTriplet.fingerprint_inputs(name) and LoadTriplet.fingerprint_inputs(name) == []


@pytest.mark.parametrize("name", ["cats \U0001f642", "\u6c34\u5f69", " blanks around ", "a\\b", "v1.5 (new)"])
def test_other_names_make_sets(name: str, output: Path) -> None:
    SaveTriplet.execute(image(), image(seed=1), set_name=name)
    assert LoadTriplet.execute(name).result[6] == 1


def test_what_cannot_be_chosen_is_said_with_what_there_is(output: Path) -> None:
    with pytest.raises(UserError, match=r"Got the set 'my set', expected one of output/uso_sets \(none yet\)"):
        LoadTriplet.execute()
    SaveTriplet.execute(image(3), image(seed=1), prompt="a cat")
    with pytest.raises(UserError, match=r"'mine', expected one of output/uso_sets \(my set\)"):
        LoadTriplet.execute("mine")
    for index in (3, -4):
        with pytest.raises(UserError, match=r"expected a number from 0 to 2, or from -3 to -1 .* has 3 triplets\."):
            LoadTriplet.execute(index=index)
    with pytest.raises(UserError, match=r"holds of none of the 3 triplets in my set"):
        LoadTriplet.execute(where="layout = 'preserved'")
    with pytest.raises(UserError, match="the scores are contents, id"):
        LoadTriplet.execute(where="__import__ = 1")
    (output / "uso_sets/my set/manifest.jsonl").write_text("")
    with pytest.raises(UserError, match="holds no rows"):
        LoadTriplet.execute()


def test_conditions_and_counting_among_what_fits(output: Path) -> None:
    SaveTriplet.execute(image(2), image(seed=1), layout="preserved")
    SaveTriplet.execute(image(2, seed=5), image(seed=1), image(seed=2), prompt="a dog")
    found = LoadTriplet.execute(where="layout = 'shifted' and contents = 1", index=1).result
    assert torch.equal(found[0][0], image(2, seed=5)[1]) and found[6] == 2


def test_folders_of_output_and_input_are_read_too(output: Path) -> None:
    SaveTriplet.execute(image(), image(seed=1))
    shutil.copytree(output / "uso_sets/my set", output.parent / "input/theirs")
    shutil.copytree(output / "uso_sets/my set", output / "runs/one")
    for name in ("theirs", "runs/one", "runs/one/manifest.jsonl", "uso_sets/my set"):
        assert torch.equal(LoadTriplet.execute(name).result[0], image())


@pytest.mark.parametrize("name", ["cats.jsonl", "ink/cats.jsonl", "manifest.jsonl"])
def test_a_set_may_be_named_as_a_manifest_is(name: str, output: Path) -> None:
    SaveTriplet.execute(image(), image(seed=1), set_name=name)
    assert torch.equal(LoadTriplet.execute(name).result[0], image())
    assert torch.equal(LoadTriplet.execute(f"{name}/manifest.jsonl").result[0], image())
    assert SaveTriplet.fingerprint_inputs(name) == SaveTriplet.fingerprint_inputs(name) == ""
    assert len(LoadTriplet.fingerprint_inputs(name)) == 1
    assert set_manifest(name) == output / "uso_sets" / name / "manifest.jsonl" == all_manifests()[0]


def test_a_set_named_as_folders_within_sets_are_is_listed(output: Path) -> None:
    for name in ("pictures", "cache/ink", "my set"):
        SaveTriplet.execute(image(), image(seed=1), set_name=name)
    assert [path.parent.relative_to(output / "uso_sets").as_posix() for path in all_manifests()] == [
        "cache/ink",
        "my set",
        "pictures",
    ]
    for name in ("my set/pictures", "new/Journal/cats"):
        with pytest.raises(UserError, match=r"expected none of cache, journal, manifest\.jsonl, pictures behind"):
            SaveTriplet.execute(image(), image(seed=1), set_name=name)


def test_a_row_that_leads_outside_is_refused(output: Path) -> None:
    SaveTriplet.execute(image(), image(seed=1))
    path = output / "uso_sets/my set/manifest.jsonl"
    path.write_text(json.dumps({**json.loads(path.read_text()), "target": "../../../secret.png"}))
    with pytest.raises(UserError, match="lies outside the manifest's folder"):
        LoadTriplet.execute()


def test_a_set_that_grew_is_read_again_and_one_that_went_is_filled_again(output: Path) -> None:
    empty = SaveTriplet.fingerprint_inputs("my set"), LoadTriplet.fingerprint_inputs("my set")
    SaveTriplet.execute(image(), image(seed=1))
    one = SaveTriplet.fingerprint_inputs("my set"), LoadTriplet.fingerprint_inputs("my set")
    linked = LoadTriplet.fingerprint_inputs(None)
    SaveTriplet.execute(image(seed=7), image(seed=1))
    two = SaveTriplet.fingerprint_inputs("my set"), LoadTriplet.fingerprint_inputs("my set")
    assert empty[0] != one[0] == two[0] and empty[1] != one[1] != two[1]
    assert SaveTriplet.fingerprint_inputs("gone") != SaveTriplet.fingerprint_inputs("gone")
    assert linked != LoadTriplet.fingerprint_inputs(None) and SaveTriplet.fingerprint_inputs(None) == ""
