"""The miniature's data on disk is ordinary training data."""

from __future__ import annotations

import torch
from comfyui_uso.trainer.data.manifest import read_manifest
from comfyui_uso.trainer.mini.data import CAPTIONS, IDENTITY, TRIPLETS, write_data
from comfyui_uso.trainer.mini.pictures import GRID, load_pictures
from comfyui_uso.trainer.mini.world import held_out


def test_both_manifests_list_pictures_that_exist(tmp_path):
    write_data(tmp_path, 3, seed=4)
    triplets, captions = read_manifest(tmp_path / TRIPLETS), read_manifest(tmp_path / CAPTIONS)
    assert len(triplets) == 3 and len(captions) == 6
    assert all(path.is_file() for row in triplets for path in (row.target, row.content, *row.style))
    assert all(row.target.is_file() and row.prompt and not row.style and row.content is None for row in captions)


def test_captions_belong_to_the_pictures(tmp_path):
    """The captions are replayed from the seed; a world that drew differently the second time would mix them up."""
    write_data(tmp_path, 12, seed=5)
    for row in read_manifest(tmp_path / CAPTIONS):
        style, subject, _ = row.target.stem.split("-")
        assert subject in row.prompt.split()
        assert row.prompt.startswith("a photo") == (row.target.parent.name == "contents")
        assert not held_out(subject, style)


def test_a_sixteenth_is_for_validation(tmp_path):
    write_data(tmp_path, 16, seed=8)
    assert len(read_manifest(tmp_path / TRIPLETS)) == 15
    assert len(read_manifest(tmp_path / TRIPLETS, split="validation")) == 1


def test_pictures_and_crops(tmp_path):
    write_data(tmp_path, 2, seed=6)
    pictures = load_pictures([tmp_path])
    assert pictures.pixels.shape == (4, 3, 128, 128) and len(pictures.captions) == 4
    crops = pictures.crops(torch.Generator().manual_seed(0), 5, 64)
    assert crops.shape == (5, 3, 64, 64) and crops.abs().max() <= 1
    whole = pictures.pixels.float() / 127.5 - 1
    places = [(n, y, x) for n in range(4) for y in range(0, 65, GRID) for x in range(0, 65, GRID)]
    assert any(torch.equal(crops[0], whole[n, :, y : y + 64, x : x + 64]) for n, y, x in places)


def test_identity_rows_copy_photos_and_styled_pictures(tmp_path):
    write_data(tmp_path, 4, seed=7)
    rows = read_manifest(tmp_path / IDENTITY)
    assert len(rows) == 4 and all(row.target == row.content and row.layout == "preserved" for row in rows)
    assert [row.target.parent.name for row in rows] == ["contents", "targets"] * 2
    assert all(row.style[0] != row.target and row.style[0].is_file() for row in rows)
