"""Manifest, cache, batches and condition dropout."""

from __future__ import annotations

import pytest
import torch
from comfyui_uso.trainer.cache import Cache
from comfyui_uso.trainer.dataset import TripletDataset, drop_conditions
from comfyui_uso.trainer.manifest import read_manifest


def test_a_wrong_row_is_named_with_its_line(tmp_path):
    path = tmp_path / "bad.jsonl"
    path.write_text('{"id": "a", "target": "a.png"}\n{"id": "b", "targt": "b.png"}\n', encoding="utf-8")
    with pytest.raises(ValueError, match=r"bad.jsonl line 2"):
        read_manifest(path)


def test_an_empty_split_is_an_error(manifest):
    with pytest.raises(ValueError, match="no row of split 'test'"):
        read_manifest(manifest, "test")


def test_paths_are_relative_to_the_manifest(manifest):
    rows = read_manifest(manifest)
    assert len(rows) == 8
    assert all(row.target.is_file() and row.style[0].is_file() and row.content.is_file() for row in rows)


def test_the_cache_encodes_once_and_follows_bytes_and_recipe(tmp_path):
    calls = []

    def encode():
        calls.append(1)
        return {"x": torch.ones(2)}

    cache = Cache(tmp_path)
    for data, recipe in ((b"a", "r"), (b"a", "r"), (b"b", "r"), (b"a", "s")):
        assert torch.equal(cache.get(data, recipe, encode)["x"], torch.ones(2))
    assert len(calls) == 3


def test_a_batch_is_drawn_from_its_generator_alone(manifest, tmp_path, tiny_encoders):
    dataset = TripletDataset(read_manifest(manifest), tiny_encoders, Cache(tmp_path / "cache"))
    a, b = (dataset.draw(torch.Generator().manual_seed(5), 6, 0.5) for _ in range(2))
    assert torch.equal(a.latent, b.latent) and torch.equal(a.txt, b.txt)
    assert a.latent.shape == (6, 16, 4, 4) and a.style.low.shape == (6, 4, 6) and a.content.shape == (6, 16, 4, 4)


def test_rows_without_the_references_asked_for_are_refused(manifest, tmp_path, tiny_encoders):
    rows = [row.model_copy(update={"content": None}) for row in read_manifest(manifest)]
    with pytest.raises(ValueError, match="none of 8 rows"):
        TripletDataset(rows, tiny_encoders, Cache(tmp_path / "cache"))


@pytest.mark.parametrize(("mode", "both"), [("one_of", 0.0), ("independent", 0.0625)])
def test_condition_dropout_has_the_stated_shares(mode, both, manifest, tmp_path, tiny_encoders):
    batch = TripletDataset(read_manifest(manifest), tiny_encoders, Cache(tmp_path / "cache")).draw(torch.Generator(), 1)
    generator = torch.Generator().manual_seed(0)
    kept = [drop_conditions(batch, 0.25, mode, generator) for _ in range(4000)]
    no_style, no_content = ([getattr(k, name) is None for k in kept] for name in ("style", "content"))
    each = 0.125 if mode == "one_of" else 0.25
    assert abs(sum(no_style) / 4000 - each) < 0.02 and abs(sum(no_content) / 4000 - each) < 0.02
    assert abs(sum(a and b for a, b in zip(no_style, no_content, strict=True)) / 4000 - both) < 0.015


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_the_share_of_preserved_rows_is_kept(share, manifest, tmp_path, tiny_encoders):
    dataset = TripletDataset(read_manifest(manifest), tiny_encoders, Cache(tmp_path / "cache"), preserved_share=share)
    empty = dataset.draw(torch.Generator().manual_seed(0), 400).txt[:, 0, 0] == 0  # preserved rows have no prompt
    assert abs(empty.float().mean().item() - share) < 0.08


def test_a_damaged_entry_is_made_again(tmp_path):
    cache = Cache(tmp_path)
    cache.get(b"a", "r", lambda: {"x": torch.ones(2)})
    (entry,) = tmp_path.rglob("*.safetensors")
    entry.write_bytes(entry.read_bytes()[:20])
    assert torch.equal(cache.get(b"a", "r", lambda: {"x": torch.ones(2)})["x"], torch.ones(2))
