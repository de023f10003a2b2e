"""Rows to samples."""

from __future__ import annotations

import dataclasses
import shutil

import pytest
import torch
from comfyui_uso.trainer.data.batch import stack_by_shape
from comfyui_uso.trainer.encoders import Gaussian
from comfyui_uso.trainer.engine.randomness import StepRandom
from PIL import Image


def same(one, other):
    """Compare nested tuples and mappings of tensors."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, (tuple, list)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(value, other[name]) for name, value in one.items())
    return one == other


@pytest.fixture
def noisy(tiny_encoders):
    """Return encoders whose latents have a spread."""

    def latent(picture):
        mean = tiny_encoders.latent(picture).mean
        return Gaussian(mean, torch.full_like(mean, -1.0))

    return dataclasses.replace(tiny_encoders, latent=latent)


@pytest.fixture
def counted(tiny_encoders):
    """Return encoders that note which of them is called."""
    calls = []

    def noting(name, encode):
        def call(what):
            calls.append(name)
            return encode(what)

        return call

    names = ("text", "style", "latent")
    judge = tiny_encoders.judges["csd"]
    changed = {name: noting(name, getattr(tiny_encoders, name)) for name in names}
    changed["judges"] = {"csd": judge._replace(embed=noting("descriptor", judge.embed))}
    return dataclasses.replace(tiny_encoders, **changed), calls


def test_a_sample_has_what_the_network_reads(opened, whole):
    data = opened(descriptor=True)
    for sample in data.batch(whole()):
        assert sample.latent.shape == sample.contents[0].shape == (16, 4, 4)
        assert sample.txt.shape == (3, 8) and sample.vec.shape == (8,)
        assert [level.shape for level in sample.styles[0]] == [(4, 6)] * 3
        assert sample.descriptors["csd"].norm() == pytest.approx(1)
        tensors = [
            sample.latent,
            *sample.contents,
            sample.txt,
            sample.vec,
            *sample.styles[0],
            *sample.descriptors.values(),
        ]
        assert {tensor.dtype for tensor in tensors} == {torch.float32}


def test_the_style_stage_carries_no_content_and_the_base_neither(opened, whole):
    style, base = opened(content=False), opened(style=False, content=False)
    assert all(not sample.contents and sample.styles for sample in style.batch(whole()))
    assert all(not sample.contents and not sample.styles for sample in base.batch(whole()))


@pytest.mark.parametrize("cuts", [[1, 1, 1, 1], [2, 2], [3, 1], [1, 3]])
def test_cutting_a_step_changes_nothing(cuts, opened, whole, noisy):
    """Rows, noise of the latents, dropped prompts and drawn styles of a step do not depend on how it is shared."""
    plain = opened().rows
    rows = [row.model_copy(update={"style": [other.target for other in plain]}) for row in plain]
    data = opened(rows, noisy, text_dropout=0.5, styles=2, run=max(cuts))
    for step in range(5):
        entire = data.batch(whole(step))
        parts, names, first = [], [], 0
        for count in cuts:
            random = StepRandom(0, step, first, count)
            parts += data.batch(random)
            names += data.names(random)
            first += count
        assert same(entire, parts)
        assert names == [sample.id for sample in entire]


def test_steps_and_seeds_differ(opened, whole, noisy):
    data = opened(encoders=noisy)
    assert not same(data.batch(whole(0)), data.batch(whole(1)))
    assert not torch.equal(
        data.sample(data.rows[0], whole(0), 0).latent, data.sample(data.rows[0], whole(0, 1), 0).latent
    )


def test_a_deleted_cache_gives_the_same_samples(opened, whole, noisy, tmp_path):
    data = opened(encoders=noisy, descriptor=True)
    before = [data.batch(whole(step)) for step in range(3)]
    shutil.rmtree(tmp_path / "cache")
    again = opened(encoders=noisy, descriptor=True)
    again.prepare()
    assert same(before, [again.batch(whole(step)) for step in range(3)])


def test_style_features_online_equal_cached_ones_and_leave_no_file(opened, whole, tmp_path):
    online = opened(style_features="online").batch(whole())
    assert not any("high" in path.read_bytes()[:300].decode("latin-1") for path in tmp_path.rglob("*.safetensors"))
    assert same(online, opened().batch(whole()))


def test_preparing_uses_one_encoder_after_the_other_and_each_input_once(opened, whole, counted):
    encoders, calls = counted
    told = []
    opened(encoders=encoders, descriptor=True).prepare(lambda done, total: told.append((done, total)))
    assert list(dict.fromkeys(calls)) == ["text", "style", "descriptor", "latent"]
    assert calls == sorted(calls, key=["text", "style", "descriptor", "latent"].index)
    # four prompts and the empty one; pictures of equal bytes are one
    assert calls.count("text") == 5 and calls.count("style") == 8
    assert told == [(done, len(calls)) for done in range(1, len(calls) + 1)]
    calls.clear()
    again = opened(encoders=encoders, descriptor=True)
    again.prepare(lambda done, total: told.append((done, total)))
    for step in range(4):
        again.batch(whole(step))
    assert calls == []


def test_a_changed_picture_setting_or_encoder_is_encoded_anew(opened, counted, tmp_path):
    encoders, calls = counted
    opened(encoders=encoders).prepare()
    Image.new("RGB", (32, 32), (1, 2, 3)).save(tmp_path / "0t.png")
    for what, encoded in (
        (opened(encoders=encoders), ["latent"]),
        (opened(encoders=encoders, size=48), ["latent"] * 8),
        (opened(encoders=encoders, content_size=48), ["latent"] * 8),
        (opened(encoders=encoders, buckets=False), ["latent"] * 8),
        (opened(encoders=dataclasses.replace(encoders, names={**encoders.names, "style": "new"})), ["style"] * 8),
    ):
        calls.clear()
        what.prepare()
        assert calls == encoded


def test_pruning_keeps_the_rows_at_hand(opened, counted, tmp_path):
    encoders, calls = counted
    data = opened(encoders=encoders)
    data.prepare()
    opened(encoders=encoders, size=48).prepare()
    assert data._cache.prune(data.entries()) == 8
    calls.clear()
    data.prepare()
    assert calls == []


def test_rows_without_the_references_of_a_stage_are_left_out(opened):
    rows = opened().rows
    no_style = [row.model_copy(update={"style": []}) for row in rows[:3]]
    no_content = [row.model_copy(update={"content": None}) for row in rows[3:5]]
    neither = [row.model_copy(update={"style": [], "content": None}) for row in rows[5:6]]
    mixed = [*no_style, *no_content, *neither, *rows[6:]]
    assert len(opened(mixed, content=False)) == 4  # stage style
    assert len(opened(mixed)) == 7  # stage triplet
    assert len(opened(mixed, style=False, content=False)) == 8  # stage base
    with pytest.raises(ValueError, match=r"no row is left of 1: 0 are not of layout None, 1 have no style or content"):
        opened(neither)
    with pytest.raises(ValueError, match=r"no row is left of 2: 1 are not of layout preserved, 1 have no style"):
        opened([no_style[0], no_style[1]], content=False, layout="preserved")


def test_a_row_with_content_alone_has_no_look(opened, whole):
    rows = [row.model_copy(update={"style": []}) for row in opened().rows]
    for sample in opened(rows, descriptor=True).batch(whole()):
        assert sample.styles == () and sample.descriptors == {} and sample.contents


def test_several_styles_are_drawn_in_the_order_of_the_row(opened, whole):
    rows = opened().rows
    row = rows[0].model_copy(update={"style": [other.target for other in rows[:4]]})
    data = opened([row], styles=2, descriptor=True)
    drawn = [data.sample(row, whole(step), 0) for step in range(60)]
    firsts = [tuple(float(style.high[0, 0]) for style in sample.styles) for sample in drawn]
    assert all(len(pair) == 2 and pair[0] < pair[1] for pair in firsts)  # targets grow brighter
    assert len(set(firsts)) == 6
    assert all(sample.descriptors["csd"].norm() == pytest.approx(1) for sample in drawn)


def test_prompts_are_emptied_as_often_as_asked(opened, whole):
    data = opened(text_dropout=0.3)
    row = next(row for row in data.rows if row.prompt)
    emptied = sum(bool((data.sample(row, whole(step), 0).txt == 0).all()) for step in range(1000))
    assert abs(emptied / 1000 - 0.3) < 2.576 * (0.3 * 0.7 / 1000) ** 0.5  # 99 % interval
    for share, count in ((0.0, 0), (1.0, 20)):
        data = opened(text_dropout=share)
        assert sum(bool((data.sample(row, whole(step), 0).txt == 0).all()) for step in range(20)) == count


def test_pooled_texts_are_shuffled_as_often_as_asked(opened, whole):
    plain, shuffled, never = opened(), opened(pooled_shuffle=0.5), opened(pooled_shuffle=0.0)
    row = plain.rows[0]
    own = plain.text(row.prompt)
    found = [shuffled.sample(row, whole(step), 0) for step in range(400)]
    assert all(torch.equal(sample.txt, own[0]) for sample in found)
    known = [plain.text(other.prompt)[1] for other in plain.rows]
    assert all(any(torch.equal(sample.vec, vec) for vec in known) for sample in found)
    chance = 0.5 * sum(not torch.equal(vec, own[1]) for vec in known) / len(known)
    others = sum(not torch.equal(sample.vec, own[1]) for sample in found) / 400
    assert abs(others - chance) < 2.576 * (chance * (1 - chance) / 400) ** 0.5  # 99 % interval
    assert all(torch.equal(never.sample(row, whole(step), 0).vec, own[1]) for step in range(20))


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_the_share_of_preserved_rows_is_kept(share, opened, whole):
    data = opened(preserved_share=share)
    layouts = {row.id: row.layout for row in data.rows}
    drawn = [layouts[name] for step in range(20) for name in data.names(whole(step))]
    assert drawn.count("preserved") == share * len(drawn)
    with pytest.raises(ValueError, match="no row has the layout 'shifted'"):
        opened(layout="preserved", preserved_share=0.5)


def test_micro_batches_have_one_shape_where_they_can(opened, whole, tmp_path):
    for number in range(0, 8, 2):
        Image.new("RGB", (64, 32), (number, 0, 0)).save(tmp_path / f"{number}t.png")
    data = opened(size=64, run=2)
    groups = [len(stack_by_shape(data.batch(StepRandom(0, step, first, 2)))) for step in range(10) for first in (0, 2)]
    assert groups == [1] * 20
    mixed = opened(size=64, run=1)
    assert any(len(stack_by_shape(mixed.batch(StepRandom(0, step, 0, 2)))) == 2 for step in range(10))


def test_targets_keep_their_aspect_or_are_square(opened, whole, tmp_path):
    Image.new("RGB", (96, 48)).save(tmp_path / "0t.png")
    row = opened().rows[0]
    assert opened(size=64).sample(row, whole(), 0).latent.shape == (16, 6, 10)
    assert opened(size=64, buckets=False).sample(row, whole(), 0).latent.shape == (16, 8, 8)


@pytest.mark.parametrize(
    ("spoil", "error"),
    [
        (lambda path: path.unlink(), "is not there"),
        (lambda path: path.write_bytes(path.read_bytes()[:40]), "cannot be read as a picture"),
        (lambda path: path.write_text("no picture"), "cannot be read as a picture"),
    ],
)
@pytest.mark.parametrize("part", ["t", "s", "c"])
def test_a_broken_picture_stops_the_preparation_by_name(spoil, error, part, opened, tmp_path):
    spoil(tmp_path / f"3{part}.png")
    with pytest.raises(ValueError, match=rf"3{part}.png {error}"):
        opened().prepare()


def test_a_content_picture_that_is_too_thin_is_named(opened, tmp_path):
    Image.new("RGB", (400, 3)).save(tmp_path / "2c.png")
    with pytest.raises(ValueError, match=r"2c.png: .*less than one token"):
        opened().prepare()


def test_the_fingerprint_follows_rows_and_bytes(opened, tmp_path):
    rows = opened().rows
    before = opened().fingerprint()
    assert before == opened().fingerprint()
    moved = rows[0].model_copy(update={"style": [*rows[0].style, rows[0].content], "content": None})
    others = [
        opened([moved, *rows[1:]]).fingerprint(),
        opened(rows[::-1]).fingerprint(),
        opened(rows[1:]).fingerprint(),
    ]
    Image.new("RGB", (32, 32), (9, 9, 9)).save(tmp_path / "5c.png")
    assert len({before, *others, opened().fingerprint()}) == 5
