"""Several content references in a row, weights of rows and manifests, mirrored samples and several sizes in a run."""

from __future__ import annotations

import json
from collections import Counter

import pytest
import torch
from comfyui_uso.trainer.data.manifest import Row, read_manifest
from comfyui_uso.trainer.data.order import BatchOrder
from comfyui_uso.trainer.data.sources import every_row, held_out_rows, training_rows
from comfyui_uso.trainer.engine.randomness import StepRandom
from comfyui_uso.trainer.settings.data import DataConfig
from PIL import Image


@pytest.fixture
def noise(tmp_path):
    """Return a function that writes a picture of noise, which no mirror leaves as it is."""

    def write(name, width=64, height=64):
        generator = torch.Generator().manual_seed(len(name))
        pixels = torch.randint(256, (height, width, 3), dtype=torch.uint8, generator=generator)
        Image.fromarray(pixels.numpy()).save(tmp_path / name)
        return tmp_path / name

    return write


def test_a_row_may_have_several_contents(opened, whole, manifest):
    plain = read_manifest(manifest)
    (row,) = (plain[0].model_copy(update={"content": [plain[n].target for n in (3, 1, 2)]}),)
    data = opened([row], batch_size=1, run=1)
    (sample,) = data.batch(StepRandom(0, 0, 0, 1))
    assert sample.content_paths == tuple(row.content) and len(sample.contents) == 3
    assert sample.style_paths == (row.style[0],)
    for path, content in zip(row.content, sample.contents, strict=True):
        alone = opened([row.model_copy(update={"content": path})], batch_size=1).batch(StepRandom(0, 0, 0, 1))
        assert torch.equal(alone[0].contents[0], content)
    few = opened([row], batch_size=1, contents=2)
    drawn = {few.batch(StepRandom(0, step, 0, 1))[0].content_paths for step in range(40)}
    assert drawn == {tuple(row.content[n] for n in chosen) for chosen in ((0, 1), (0, 2), (1, 2))}


def test_a_list_of_one_is_that_one(tmp_path):
    same = [Row(id="a", target="t.png", content=content) for content in ("c.png", ["c.png"])]
    assert same[0] == same[1] and Row(id="a", target="t.png", content=[]).content is None
    path = tmp_path / "m.jsonl"
    path.write_text(json.dumps({"id": "a", "target": "t.png", "content": ["c.png", 3]}), encoding="utf-8")
    with pytest.raises(ValueError, match=r"line 1 is no triplet \(content.1: Input is not a valid path"):
        read_manifest(path)


def order(weights, batch=4, seed=0, **more):
    rows = list(range(len(weights)))
    return BatchOrder([rows], None, [None] * len(rows), batch, 1, seed, weights, **more)


def test_weights_are_kept_in_every_epoch():
    weighted = order([3, 1, 0.5, 0.5, 1])
    assert len(weighted) == 6
    steps = [row for step in range(0, 300) for row in weighted.rows(step)]
    epochs = [Counter(steps[i : i + 6]) for i in range(0, 1200, 6)]
    assert all(epoch[0] == 3 and epoch[1] == epoch[4] == 1 and epoch[2] + epoch[3] == 1 for epoch in epochs)
    assert 70 < sum(epoch[2] for epoch in epochs) < 130
    assert [order([3, 1, 0.5, 0.5, 1]).rows(step) for step in (250, 3)] == [weighted.rows(250), weighted.rows(3)]


def test_equal_weights_are_the_order_without_any():
    assert [order([1.0] * 7).rows(step) for step in range(20)] == [order(7 * [1]).rows(step) for step in range(20)]
    rows = list(range(7))
    none = BatchOrder([rows], None, [None] * 7, 4, 1, 0)
    assert [order([1.0] * 7).rows(step) for step in range(20)] == [none.rows(step) for step in range(20)]
    thin = order([0.001] * 7)  # less than one sample: an epoch has one all the same
    assert len(thin) == 1 and {row for step in range(50) for row in thin.rows(step)} == set(rows)


def test_manifests_have_weights_and_splits_of_their_own(manifest, tmp_path):
    other = tmp_path / "val.jsonl"
    other.write_text(json.dumps({"id": "v", "target": "0t.png", "split": "validation"}), encoding="utf-8")
    data = DataConfig(manifests=[{"path": manifest, "repeats": 2.5}, other], cache=tmp_path, rows=3)
    assert [row.weight for row in training_rows(data)] == [2.5] * 3
    assert [row.id for row in held_out_rows(data)] == ["v"] and len(every_row(data)) == 9
    with pytest.raises(ValueError, match=r"val.jsonl holds no row of split 'train'"):
        training_rows(DataConfig(manifests=[other], cache=tmp_path))


def test_weights_are_part_of_the_data_and_plain_rows_hash_as_before(opened):
    data = opened()
    assert opened([row.model_copy(update={"weight": 2.0}) for row in data.rows]).fingerprint() != data.fingerprint()
    assert len(data._order) == 8


def test_mirrored_samples_show_target_and_content_mirrored(opened, noise):
    row = Row(id="a", target=noise("t.png"), content=noise("cc.png"), style=[noise("sss.png")])
    straight = opened([row], batch_size=1).batch(StepRandom(0, 0, 0, 1))[0]
    data = opened([row], batch_size=1, flip=0.5)
    seen = {True: 0, False: 0}
    for step in range(30):
        sample = data.batch(StepRandom(0, step, 0, 1))[0]
        mirrored = not torch.equal(sample.latent, straight.latent)
        seen[mirrored] += 1
        for one, other in ((sample.latent, straight.latent), (sample.contents[0], straight.contents[0])):
            assert torch.allclose(one, other.flip(-1) if mirrored else other, atol=0.02)
        assert torch.equal(sample.styles[0].high, straight.styles[0].high)
    assert min(seen.values()) > 5


def test_a_run_of_several_sizes_draws_one_for_each_micro_batch(opened, noise):
    rows = [Row(id=str(n), target=noise("t" * (n + 1) + ".png"), style=[noise("s.png")]) for n in range(4)]
    data = opened(rows, run=2, size=[32, 64], content=False)
    sizes = [[tuple(s.latent.shape[1:]) for s in data.batch(StepRandom(0, step, 0, 4))] for step in range(20)]
    assert {one for step in sizes for one in step} == {(4, 4), (8, 8)}
    assert all(step[0] == step[1] and step[2] == step[3] for step in sizes)
    assert any(step[0] != step[2] for step in sizes)
    again = [data.batch(StepRandom(0, 7, first, 2))[0].latent.shape for first in (0, 2)]
    assert [tuple(shape[1:]) for shape in again] == [sizes[7][0], sizes[7][2]]


def test_everything_is_encoded_before_and_planned(opened, whole, noise, manifest):
    rows = read_manifest(manifest)
    rows[0] = rows[0].model_copy(update={"content": [noise("c.png"), rows[1].target]})
    data = opened(rows, flip=0.5, size=[32, 48])
    data.prepare()
    entries = sum(1 for _ in data._cache.folder.glob("??/*.safetensors"))
    assert entries == len(data.entries()) == 5 + 8 + 4 * 8 + 2 * 9  # texts, styles, targets, contents
    for step in range(6):
        data.batch(whole(step))
    assert sum(1 for _ in data._cache.folder.glob("??/*.safetensors")) == entries
