"""Rows become the same samples whatever the cache, the cut into micro-batches or the reading ahead."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
import torch
from comfyui_uso.trainer.data.cache import Cache
from comfyui_uso.trainer.data.dataset import TripletDataset
from comfyui_uso.trainer.data.manifest import read_manifest
from comfyui_uso.trainer.engine.randomness import StepRandom
from comfyui_uso.trainer.recipe import DataConfig
from PIL import Image


@pytest.fixture
def make(tmp_path, manifest, tiny_encoders):
    def dataset(encoders=tiny_encoders, cache="cache", batch_size=4, style=True, content=True, look=False, **settings):
        data = DataConfig(manifests=[manifest], cache=tmp_path / cache, size=32, content_size=32, **settings)
        rows = read_manifest(manifest)
        return TripletDataset(
            rows, encoders, Cache(data.cache), data, batch_size, style=style, content=content, look=look
        )

    return dataset


def test_a_batch_has_what_the_stage_asks_for(make):
    random = StepRandom(0, 0, 0, 3)
    full = make(look=True).batch(random)
    assert [s.latent.shape for s in full] == [(16, 4, 4)] * 3 and all(s.content.shape == (16, 4, 4) for s in full)
    assert all(
        len(s.styles) == 1 and s.styles[0].high.shape == (4, 6) and s.look.norm() == pytest.approx(1) for s in full
    )
    plain = make(style=False, content=False).batch(random)
    assert all(s.styles == () and s.content is None and s.look is None for s in plain)


def test_a_step_is_the_same_however_it_is_cut(make):
    data = make(batch_size=6, text_dropout=0.5)
    whole = data.batch(StepRandom(3, 2, 0, 6))
    parts = [s for first in (0, 2, 4) for s in data.batch(StepRandom(3, 2, first, 2))]
    assert [s.id for s in whole] == [s.id for s in parts] == data.names(StepRandom(3, 2, 0, 6))
    assert all(torch.equal(a.txt, b.txt) and torch.equal(a.latent, b.latent) for a, b in zip(whole, parts, strict=True))


def test_every_row_comes_once_an_epoch(make):
    data = make(batch_size=4)
    ids = [data.names(StepRandom(0, step, 0, 4)) for step in range(4)]
    assert sorted(ids[0] + ids[1]) == sorted(ids[2] + ids[3]) == sorted(row.id for row in data.rows)
    assert ids[0] + ids[1] != ids[2] + ids[3]


def test_the_share_of_preserved_rows(make):
    data = make(batch_size=8, preserved_share=0.75)
    preserved = {row.id for row in data.rows if row.layout == "preserved"}
    for step in range(3):
        assert sum(name in preserved for name in data.names(StepRandom(0, step, 0, 8))) == 6


def test_prompts_are_emptied_at_the_wanted_rate(make, manifest):
    data = make(text_dropout=0.25)
    row = next(row for row in data.rows if row.prompt)
    emptied = sum(bool((data.sample(row, StepRandom(0, k, 0, 1), 0).txt == 0).all()) for k in range(800))
    assert 153 <= emptied <= 249  # 99.9 % of a binomial of 800 at 0.25


def test_encoders_run_once_and_deleting_the_cache_changes_nothing(make, tiny_encoders):
    calls = []

    def counting(picture):
        calls.append(picture)
        return tiny_encoders.latent(picture)

    data = make(encoders=replace(tiny_encoders, latent=counting))
    seen = []
    data.prepare(lambda done, total: seen.append((done, total)))
    assert len(calls) == 16 and seen[-1][0] == seen[-1][1] == len(seen)
    first = data.batch(StepRandom(0, 0, 0, 4))
    assert len(calls) == 16
    again = make(cache="another").batch(StepRandom(0, 0, 0, 4))
    assert all(torch.equal(a.latent, b.latent) and torch.equal(a.vec, b.vec) for a, b in zip(first, again, strict=True))


def test_a_changed_byte_is_encoded_anew(make):
    data = make()
    row = data.rows[0]
    before = data.sample(row, StepRandom(0, 0, 0, 1), 0).latent
    mark = data.fingerprint()
    Image.new("RGB", (32, 32), (255, 255, 255)).save(row.target)
    assert not torch.equal(data.sample(row, StepRandom(0, 0, 0, 1), 0).latent, before)
    assert data.fingerprint() != mark


def test_a_damaged_entry_is_made_again(make, tmp_path):
    data = make()
    before = data.batch(StepRandom(0, 0, 0, 4))
    for path in (tmp_path / "cache").glob("*/*.safetensors"):
        path.write_bytes(path.read_bytes()[:20])
    again = data.batch(StepRandom(0, 0, 0, 4))
    assert all(torch.equal(a.latent, b.latent) for a, b in zip(before, again, strict=True))


def test_a_missing_and_a_corrupt_picture_are_named(make, manifest):
    data = make()
    row = data.rows[0]
    row.target.write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"0t.png cannot be read as a picture"):
        data.prepare()
    row.target.unlink()
    with pytest.raises(ValueError, match=r"0t.png is not there"):
        data.prepare()


def test_why_no_row_is_left(make, manifest):
    assert len(make(layout="preserved")) == 4
    with pytest.raises(ValueError, match="no row has the layout 'preserved'"):
        make(layout="shifted", preserved_share=0.5)
    text = manifest.read_text(encoding="utf-8")
    manifest.write_text(re.sub(r'"style": \[[^]]*\]', '"style": []', text), encoding="utf-8")
    with pytest.raises(ValueError, match="no row is left of 8: 4 are not of layout shifted, 4 have no style"):
        make(layout="shifted", content=False)
