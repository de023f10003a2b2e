"""The miniature's data on disk is ordinary training data."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest
import torch
from comfyui_uso.mini.judges.networks import load_judges
from comfyui_uso.mini.training.pictures import GRID, load_pictures, load_triplets
from comfyui_uso.mini.world import HELD_OUT_SUBJECTS, SUBJECTS, sample_triplet
from comfyui_uso.mini.world.dataset import CAPTIONS, IDENTITY, SINGLES, TRIPLETS, write_data, write_triplets
from comfyui_uso.trainer.data.manifest import read_manifest
from comfyui_uso.trainer.data.pictures import open_picture
from comfyui_uso.uso_model.images import picture_tensor
from PIL import Image


def test_both_manifests_list_pictures_that_exist(tmp_path):
    write_data(tmp_path, 5, 3, seed=4)
    triplets, captions = read_manifest(tmp_path / TRIPLETS), read_manifest(tmp_path / CAPTIONS)
    assert len(triplets) == 3 and len(captions) == 5
    assert all(path.is_file() for row in triplets for path in (row.target, row.content, *row.style))
    assert all(row.target.is_file() and row.prompt and not row.style and row.content is None for row in captions)


def test_captions_name_what_the_pictures_show(tmp_path):
    """The identity judge, which no caption has trained, sees the class that the caption names."""
    write_data(tmp_path, 24, 0, seed=5)
    _, judge = load_judges()
    rows = read_manifest(tmp_path / CAPTIONS)
    pictures = torch.cat([picture_tensor(open_picture(row.target)) for row in rows])
    with torch.no_grad():
        classes = judge(pictures)[1][0].argmax(1).tolist()
    assert sum(SUBJECTS[number] in row.prompt.split() for number, row in zip(classes, rows, strict=True)) >= 12


def test_triplets_read_into_memory(tmp_path):
    write_data(tmp_path, 0, 16, seed=3)
    triplets = load_triplets([tmp_path])
    assert triplets.pixels.shape == (3, 15, 3, 128, 128)  # the validation row is left out
    target, style, content = triplets.pick(torch.Generator().manual_seed(0), 2)
    assert target.shape == style.shape == content.shape == (2, 3, 128, 128) and target.abs().max() <= 1


def test_styles_are_improvised_as_often_as_asked(tmp_path):
    for share in (0.0, 1.0):
        write_data(tmp_path / str(share), 0, 8, seed=9, improvised=share)
        names = {path.name.split("-")[0] for path in (tmp_path / str(share) / "targets").iterdir()}
        assert ("improvised" in names) == bool(share) and (len(names) == 1) == bool(share)
    for wrong in ({"improvised": 40}, {"hybrids": 40}):
        (name,) = wrong
        with pytest.raises(ValueError, match=f"{name} = 40"):
            write_data(tmp_path / "percent", 0, 1, seed=9, **wrong)


def test_a_sixteenth_is_for_validation(tmp_path):
    write_data(tmp_path, 0, 16, seed=8)
    assert len(read_manifest(tmp_path / TRIPLETS)) == 15
    assert len(read_manifest(tmp_path / TRIPLETS, split="validation")) == 1


def test_pictures_and_crops(tmp_path):
    write_data(tmp_path, 4, 0, seed=6)
    pictures = load_pictures([tmp_path])
    assert pictures.pixels.shape == (4, 3, 128, 128) and len(pictures.captions) == 4
    crops = pictures.crops(torch.Generator().manual_seed(0), 5, 64)
    assert crops.shape == (5, 3, 64, 64) and crops.abs().max() <= 1
    whole = pictures.pixels.float() / 127.5 - 1
    places = [(n, y, x) for n in range(4) for y in range(0, 65, GRID) for x in range(0, 65, GRID)]
    assert any(torch.equal(crops[0], whole[n, :, y : y + 64, x : x + 64]) for n, y, x in places)


def test_identity_rows_copy_photos_and_styled_pictures(tmp_path):
    write_data(tmp_path, 0, 4, seed=7)
    rows = read_manifest(tmp_path / IDENTITY)
    assert len(rows) == 4 and all(row.target == row.content and row.layout == "preserved" for row in rows)
    assert [row.target.parent.name for row in rows] == ["contents", "targets"] * 2
    assert all(row.style[0] != row.target and row.style[0].is_file() for row in rows)


def test_singles_have_one_reference(tmp_path):
    write_data(tmp_path, 0, 32, seed=7)
    rows = read_manifest(tmp_path / SINGLES)
    photos, styled = ([row for row in rows if (row.content is None) is alone] for alone in (False, True))
    assert len(photos) == 30 // 4 and len(styled) == 30 // 8
    assert all(row.target.parent.name == "photos" and row.target.is_file() and not row.style for row in photos)
    for number, row in enumerate(photos):
        new = number % 2 == 1
        assert (row.layout == "shifted") is (row.target != row.content) is bool(row.prompt) is new
        assert row.content.is_file() and not set(row.prompt.split()) & set(HELD_OUT_SUBJECTS)
    known = {row.target: row for row in read_manifest(tmp_path / TRIPLETS)}
    assert all(row.prompt and row.style == known[row.target].style for row in styled)


def test_triplets_of_a_manifest_are_those_of_the_seed(tmp_path):
    write_triplets(tmp_path / "a", 6, 14)
    manifest = tmp_path / "a" / TRIPLETS
    rows = [json.loads(line) for line in manifest.read_text(encoding="utf-8").splitlines()]
    source = np.random.default_rng(14)
    assert len(rows) == len({row["id"] for row in rows}) == 6
    for row in rows:
        triplet = sample_triplet(source)
        assert set(row) == {"id", "target", "style", "content", "prompt", "layout", "scores", "split"}
        assert (row["id"], row["layout"], row["prompt"]) == (triplet.id, triplet.layout, triplet.prompt)
        assert row["split"] == "train" and row["scores"] == {}
        for path, picture in zip((row["target"], row["style"][0], row["content"]), triplet.render(), strict=True):
            with Image.open(manifest.parent / path) as image:
                assert np.array_equal(np.asarray(image), picture)
    write_triplets(tmp_path / "b", 6, 14)
    assert (tmp_path / "b" / TRIPLETS).read_bytes() == manifest.read_bytes()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (TRIPLETS, "d368d61cc7242aa69a2d8c9d66bd62dc964029f78896944e4482948af4f1156c"),
        (CAPTIONS, "4adda2ddd943e1c6f284f58b49dde4d0f373c17a2c451b93a8f7916fa2af3a7a"),
        (IDENTITY, "56cbf5e3a0111865ca0bb5e4fcc512c4c0639f0cc41e6363f891e661603d1d06"),
        (SINGLES, "d5ebc57e21f83b64d91b43d2bbb7776cd832eadb81b0fc027098191857537889"),
    ],
)
def test_the_bytes_of_a_manifest_stay_those_of_the_first_version(data_of_seed_3, name, expected):
    """A cached encoding, a run's hash of its data and a published number all hang on them."""
    assert hashlib.sha256((data_of_seed_3 / name).read_bytes()).hexdigest() == expected


@pytest.fixture(scope="module")
def data_of_seed_3(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    write_data(folder, 6, 16, 3, improvised=0.5, hybrids=0.25)
    return folder
