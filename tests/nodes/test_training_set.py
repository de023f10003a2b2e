"""The node that makes a set for training: where pictures come from, what is left out, and what is said."""

from __future__ import annotations

import os
import sys
import unicodedata
from pathlib import Path
from typing import Any

import folder_paths
import pytest
import torch
from comfyui_uso.mini.example_pictures import TRAINING_PICTURES
from comfyui_uso.nodes.train import Train
from comfyui_uso.nodes.training.folders import NONE, picture_folders
from comfyui_uso.nodes.training_set import TrainingSetNode
from comfyui_uso.nodes.triplet_sets import SaveTriplet
from comfyui_uso.trainer.data.manifest import read_manifest
from comfyui_uso.uso_model.errors import UserError
from PIL import Image


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give ComfyUI empty folders for input, output and temporary files, and return the one that holds them."""
    for name in ("input", "output", "temp"):
        (tmp_path / name).mkdir()
        monkeypatch.setattr(folder_paths, f"{name}_directory", str(tmp_path / name))
    return tmp_path


def fill(folder: Path, count: int = 3, captions: bool = True) -> Path:
    """Write pictures of one colour each, and a caption beside each."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        Image.new("RGB", (48 + 16 * number, 64), (40 * number, 90, 200)).save(folder / f"{number}.png")
        if captions:
            (folder / f"{number}.txt").write_text(f"thing {number}", encoding="utf-8")
    return folder


def made(**inputs: Any) -> Any:
    """Run the node as ComfyUI does, each input in a list, and return the set and the report."""
    lists = {name: value if isinstance(value, list) else [value] for name, value in inputs.items()}
    done = TrainingSetNode.execute(**lists)
    assert done.result[1].ndim == 4 and done.ui is not None
    return done.result[0], done.result[2]


def test_a_folder_becomes_a_manifest_and_stays_as_it_is(place: Path) -> None:
    folder = fill(place / "input/my cats")
    before = sorted(folder.iterdir())
    found, report = made(folder="input/my cats", name="cats", trigger="sks")
    rows = read_manifest(found.manifest)
    assert found.manifest == place / "output/uso_training/sets/cats/manifest.jsonl"
    assert [row.prompt for row in rows] == ["sks, thing 0", "sks, thing 1", "sks, thing 2"]
    assert [row.target for row in rows] == [folder / f"{n}.png" for n in range(3)]
    assert all(len(row.style) == 2 and row.target not in row.style and not row.contents for row in rows)
    assert sorted(folder.iterdir()) == before and (found.kind, found.rows, found.trigger) == ("style", 3, "sks")
    assert report.splitlines()[0] == "3 pictures, 3 rows for training, 3 of them with a caption."
    written = found.manifest.stat().st_mtime_ns
    assert made(folder="input/my cats", name="cats", trigger="sks")[0] == found
    assert found.manifest.stat().st_mtime_ns == written
    assert str(place) not in found.manifest.read_text(encoding="utf-8"), "ComfyUI's folder may be moved"


def test_a_subject_is_learnt_with_the_others_as_contents(place: Path) -> None:
    fill(place / "input/dog", 4)
    found, _ = made(folder="input/dog", kind="subject", captions="text", caption="a dog")
    rows = read_manifest(found.manifest)
    assert len(rows) == 4 * 3 == found.rows and all(row.contents and not row.style for row in rows)
    assert {row.prompt for row in rows} == {"a dog"} and found.name.startswith("dog-")


def test_names_follow_from_what_is_in_a_set(place: Path) -> None:
    folder = fill(place / "input/a b; c")
    first = made(folder="input/a b; c")[0]
    assert first.name.startswith("a-b-c-") and made(folder="input/a b; c")[0] == first
    fill(folder, 4)
    second = made(folder="input/a b; c")[0]
    assert len({first.name, second.name, made(folder="input/a b; c", kind="subject")[0].name}) == 3


@pytest.mark.parametrize("letter", ["\u732b", "\U00020000", "e\u0301", "\u0958", "a"])
@pytest.mark.parametrize("source", ["folder", "triplets"])
def test_a_name_of_long_letters_is_cut_between_them(place: Path, letter: str, source: str) -> None:
    plain = unicodedata.normalize("NFC", letter)
    origin = (letter if source == "folder" else plain) * 24
    if source == "folder":
        fill(place / "input" / origin)
        name = made(folder=f"input/{origin}")[0].name
    else:
        for seed in range(2):
            picture = torch.full((1, 32, 32, 3), 0.3 * seed)
            SaveTriplet.execute(picture, picture, prompt=f"cat {seed}", set_name="mine")
        (place / "output/uso_sets/mine").rename(place / "output" / origin)
        name = made(triplets=origin)[0].name
    kept, digest = name.rsplit("-", 1)
    assert len(digest) == 8 and set(kept) <= {*plain, "-"} and 17 <= len(kept) <= 24 and len(name.encode()) <= 80
    assert (place / "output/uso_training/sets" / name).is_dir()


def test_what_is_no_picture_is_left_out_and_said(place: Path) -> None:
    folder = fill(place / "input/mixed", 3, captions=False)
    (folder / "broken.png").write_bytes((folder / "0.png").read_bytes()[:60])
    (folder / "._0.png").write_bytes(b"a fork of a Mac")
    (folder / "notes.doc").write_bytes(b"text")
    (folder / "inner").mkdir()
    found, report = made(folder="input/mixed")
    assert found.rows == 3
    assert "Not read: 1 hidden, 1 sub-folders, 1 .doc." in report
    assert "broken.png cannot be read as a picture" in report and "save it again or take it away." in report
    assert report.count("Left out: ") == report.count("broken.png cannot") == 1 and "manifest" not in report
    assert "no row has a caption" in report


@pytest.mark.parametrize(("kind", "size"), [("style", (1, 5000)), ("subject", (20, 5000))])
def test_a_picture_of_less_than_one_token_is_left_out(place: Path, kind: str, size: tuple[int, int]) -> None:
    folder = fill(place / "input/thin")
    Image.new("RGB", size).save(folder / "thin.png")
    found, report = made(folder="input/thin", kind=kind)
    assert "thin.png" not in {path.name for row in read_manifest(found.manifest) for path in row.pictures}
    assert report.startswith("3 pictures, ") and report.count("thin.png") == 1
    assert "Left out: " in report and "one token" in report and ".." not in report


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_names_of_linux(place: Path) -> None:
    folder = fill(place / "input/a\\b", 1)
    assert picture_folders() == ["input/a\\b"] and TrainingSetNode.validate_inputs(folder=picture_folders()) is True
    Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9.png")).write_bytes((folder / "0.png").read_bytes())
    with pytest.raises(UserError, match=r"holds one picture; .*; left out: 1 names that are no Unicode\.$"):
        made(folder="input/a\\b")


@pytest.mark.parametrize(
    ("count", "broken", "said"),
    [
        (0, 0, "with nothing in it, expected two or more pictures: put them there"),
        (1, 0, "holds one picture; a reference has to be another one"),
        (1, 2, "holds one picture; a reference has to be another one"),
        (0, 2, "Got no picture that can be used"),
    ],
)
def test_too_few_pictures(place: Path, count: int, broken: int, said: str) -> None:
    folder = fill(place / "input/few", count)
    for number in range(broken):
        (folder / f"bad{number}.png").write_bytes(b"no picture")
    with pytest.raises(UserError, match=said):
        made(folder="input/few")


def test_pictures_in_sub_folders_are_found_when_asked_for(place: Path) -> None:
    fill(place / "input/deep/inner")
    (place / "input/deep/readme.md").write_text("words")
    with pytest.raises(UserError, match=r"with only .* in it, .* put them there, or switch sub_folders on"):
        made(folder="input/deep")
    assert made(folder="input/deep", sub_folders=True)[0].rows == 3


def test_images_of_several_sizes_with_a_caption_each(place: Path) -> None:
    batches = [torch.rand(2, 32, 32, 3), torch.rand(1, 48, 32, 4), torch.rand(1, 64, 32, 1)]
    words = ["one", "two", "three", "four"]
    found, _ = made(images=batches, caption=words, name="mine")
    rows = read_manifest(found.manifest)
    assert [row.prompt for row in rows] == words and found.rows == 4
    before = sorted(found.folder.rglob("*"))
    assert made(images=batches, caption=words, name="mine")[0] == found and sorted(found.folder.rglob("*")) == before
    with Image.open(rows[2].target) as picture:
        assert picture.size == (32, 48)
    with pytest.raises(UserError, match="Got 2 captions for 4 pictures"):
        made(images=batches, caption=["a", "b"])
    assert made(images=batches)[0].name == made(images=batches)[0].name


@pytest.mark.parametrize(
    ("words", "prompts"),
    [
        (["a cat", "", " "], ["a cat", "", ""]),
        (["a cat", "", " dog "], ["a cat", "", "dog"]),
        (["", "", ""], [""] * 3),
        ("a cat", ["a cat"] * 3),
    ],
)
def test_a_blank_caption_in_a_list_keeps_its_place(place: Path, words: Any, prompts: list[str]) -> None:
    found, _ = made(images=torch.rand(3, 32, 32, 3), caption=words)
    assert [row.prompt for row in read_manifest(found.manifest)] == prompts


def test_a_set_that_another_one_of_its_name_replaced_is_not_trained_on(place: Path) -> None:
    fill(place / "input/cats")
    fill(place / "input/dogs")
    cats, dogs = (made(folder=f"input/{kind}", name="x")[0] for kind in ("cats", "dogs"))
    dogs.require_unchanged()
    with pytest.raises(UserError, match="Got the training set 'x' with other pictures or captions"):
        Train.execute(cats, recipe="toy", name="run")
    assert not (place / "output/uso_training/runs").exists()
    dogs.manifest.unlink()
    with pytest.raises(UserError, match=r"Got the training set 'x', which is gone from .*/sets/x, .*: queue again"):
        Train.execute(dogs, recipe="toy", name="run")


@pytest.mark.parametrize("inner", ["manifest.jsonl", "Pictures", "pictures/y"])
def test_no_set_lies_where_another_one_keeps_its_files(place: Path, inner: str) -> None:
    made(images=torch.rand(2, 32, 32, 3), name="x")
    with pytest.raises(UserError, match="for a training set, expected none of cache, journal, manifest"):
        made(images=torch.rand(2, 32, 32, 3), name=f"x/{inner}")


def test_captions_for_each_picture_need_images(place: Path) -> None:
    with pytest.raises(UserError, match="Got 4 captions for 3 pictures"):
        made(images=torch.rand(3, 32, 32, 3), caption=["", "a", "b", "c"])
    fill(place / "input/cats")
    with pytest.raises(UserError, match="Got 3 captions for pictures that are files, expected one for all"):
        made(folder="input/cats", caption=["a", "b", "c"])


def test_a_set_of_triplets(place: Path) -> None:
    for seed in range(2):
        SaveTriplet.execute(torch.rand(1, 32, 32, 3), torch.rand(1, 32, 32, 3), prompt=f"cat {seed}", set_name="mine")
    found, _ = made(triplets="mine", trigger="ink")
    rows = read_manifest(found.manifest)
    assert {row.prompt for row in rows} == {"ink, cat 0", "ink, cat 1"} and all(row.style for row in rows)
    with pytest.raises(UserError, match=r"2 triplets .* without a content picture, expected some for kind subject"):
        made(triplets="mine", kind="subject")
    with pytest.raises(UserError, match="Got the set 'other', expected one of"):
        made(triplets="other")


def test_one_source_at_a_time(place: Path) -> None:
    with pytest.raises(UserError, match="Got no pictures, expected those of one folder"):
        made()
    with pytest.raises(UserError, match="Got pictures from folder and from images"):
        made(folder="example", images=torch.rand(2, 32, 32, 3))
    with pytest.raises(UserError, match="expected one of style, subject"):
        made(folder="example", kind="mood")


@pytest.mark.parametrize("linked", ["folder", "triplets", "sub_folders", "name"])
def test_what_comes_through_a_link_is_not_known_before(place: Path, linked: str) -> None:
    """ComfyUI gives `(None,)` for it, and runs a node that fails on that every time."""
    inputs = {"folder": [NONE], "triplets": [""], "sub_folders": [False], "name": ["cats"], linked: (None,)}
    first = TrainingSetNode.fingerprint_inputs(**inputs)
    assert isinstance(first, str) and TrainingSetNode.fingerprint_inputs(**inputs) == first


@pytest.mark.parametrize("name", ["input/../..", "elsewhere", "input/absent", "/", "input//x", "output/\0"])
def test_no_folder_but_those_of_comfyui(place: Path, name: str) -> None:
    with pytest.raises(UserError, match="expected example or a folder under ComfyUI's input or output"):
        made(folder=name)
    assert "expected example" in str(TrainingSetNode.validate_inputs(folder=[name]))
    assert "Got the folder '5', expected example" in str(TrainingSetNode.validate_inputs(folder=5))


def test_the_list_of_folders(place: Path) -> None:
    fill(place / "input/b/c", 1)
    fill(place / "output", 1)
    fill(place / "output/uso_training/sets/x/pictures", 1)
    fill(place / "input/.hidden", 1)
    assert picture_folders() == ["input/b/c", "output"]
    fill(place / "input/b", 1)
    assert picture_folders() == ["input/b", "input/b/c", "output"]


def test_the_bundled_pictures(place: Path) -> None:
    found, report = made(folder="example")
    assert found.rows == 16 and found.name.startswith("example-")
    assert report.splitlines() == ["16 pictures, 16 rows for training, 16 of them with a caption."]
    assert sum(path.stat().st_size for path in TRAINING_PICTURES.iterdir()) <= 500_000


def test_a_changed_folder_is_read_again(place: Path) -> None:
    folder = fill(place / "input/cats")
    first = TrainingSetNode.fingerprint_inputs(folder=["input/cats"])
    assert TrainingSetNode.fingerprint_inputs(folder=["input/cats"]) == first
    (folder / "0.txt").write_text("another caption", encoding="utf-8")
    assert TrainingSetNode.fingerprint_inputs(folder=["input/cats"]) != first
