"""The procedural world: determinism, the held-out split, captions, triplets and their manifest."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest
from comfyui_uso.trainer.mini import world
from comfyui_uso.trainer.mini.world.drawing import draw
from PIL import Image


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def is_picture(picture: np.ndarray) -> bool:
    return picture.shape == (128, 128, 3) and picture.dtype == np.uint8


@pytest.mark.parametrize("subject", world.SUBJECTS)
def test_photo_is_a_picture_and_depends_on_the_seed_only(subject: str) -> None:
    scene = world.sample_scene(rng(5), subject)
    picture = world.render_photo(scene)
    assert is_picture(picture)
    assert np.array_equal(picture, world.render_photo(world.sample_scene(rng(5), subject)))
    assert not np.array_equal(picture, world.render_photo(world.sample_scene(rng(6), subject)))


@pytest.mark.parametrize("name", world.STYLES)
def test_style_is_a_picture_and_depends_on_the_seed_only(name: str) -> None:
    scene, style = world.sample_scene(rng(1)), world.sample_style(rng(2), name)
    picture = world.render_style(scene, style)
    assert is_picture(picture)
    assert picture.std() > 8
    assert np.array_equal(picture, world.render_style(world.sample_scene(rng(1)), world.sample_style(rng(2), name)))


def test_every_variant_of_every_style_renders() -> None:
    source = rng(3)
    for name in world.STYLES:
        variants = {world.sample_style(source, name) for _ in range(80)}
        assert 4 <= len(variants) <= 12
        scene = world.sample_scene(source)
        pictures = {world.render_style(scene, style).tobytes() for style in variants}
        assert len(pictures) == len(variants)


def test_styles_are_further_apart_than_their_variants() -> None:
    scene = world.sample_scene(rng(4), "teapot")
    small = {}
    for name in world.STYLES:
        small[name] = world.render_style(scene, world.sample_style(rng(1), name)).astype(float)
    names = list(small)
    for i, a in enumerate(names):
        for b in names[i + 1 :]:
            assert np.abs(small[a] - small[b]).mean() > 8, (a, b)


def test_subject_fills_about_half_of_the_frame() -> None:
    source = rng(7)
    for subject in world.SUBJECTS:
        for _ in range(4):
            inside = draw(world.sample_scene(source, subject)).silhouette < 0
            rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
            side = max(np.ptp(rows), np.ptp(columns)) / 128
            assert 0.42 <= side <= 0.9, subject


def test_drawing_weights_sum_to_one() -> None:
    for subject in world.SUBJECTS:
        drawing = draw(world.sample_scene(rng(8), subject))
        assert np.allclose(drawing.weights.sum(0), 1.0, atol=1e-5)
        assert np.isfinite(drawing.edge).all() and np.isfinite(drawing.relief).all()


def test_held_out_is_a_balanced_quarter() -> None:
    pairs = [(a, b) for a in world.SUBJECTS for b in world.STYLES if world.held_out(a, b)]
    assert len(world.SUBJECTS) == len(world.STYLES) == 12
    assert len(pairs) == 36
    assert set(Counter(a for a, _ in pairs).values()) == {3}
    assert set(Counter(b for _, b in pairs).values()) == {3}


def test_held_out_rejects_unknown_names() -> None:
    with pytest.raises(ValueError, match="dragon"):
        world.held_out("dragon", "oil")


def test_every_caption_word_is_in_the_vocabulary() -> None:
    source, seen = rng(9), set()
    for _ in range(400):
        scene = world.sample_scene(source)
        assert len(scene.caption().split()) <= 12
        for text in (
            world.photo_caption(scene),
            *(world.style_caption(scene, name) for name in world.STYLES),
        ):
            assert len(text.split()) <= 15
            seen.update(text.split())
    assert seen == set(world.VOCABULARY)
    assert tuple(sorted(set(world.VOCABULARY))) == world.VOCABULARY


def test_caption_reads_as_english() -> None:
    individual = world.Individual("teapot", "orange", "blue", (0.5, 0.5, 0.5, 0.5))
    scene = world.Scene(individual, world.Pose(64.0, 64.0, 40.0, 0.0, False), "sand", False, 1, 0)
    assert scene.caption() == "an orange and blue teapot on a sand background"
    assert world.style_caption(scene, "oil") == f"an oil painting of {scene.caption()}"
    assert world.style_caption(scene, "chalk") == f"a chalk drawing of {scene.caption()}"


def test_repose_keeps_the_individual_only() -> None:
    scene = world.sample_scene(rng(10))
    moved = scene.repose(rng(11))
    assert moved.individual == scene.individual
    assert moved.pose != scene.pose


@pytest.mark.parametrize("held", [False, True])
def test_triplet_shares_the_style_with_another_subject(held: bool) -> None:
    source = rng(12)
    for _ in range(150):
        triplet = world.sample_triplet(source, held_out=held)
        assert triplet.style_ref.subject != triplet.target.subject
        assert world.held_out(triplet.target.subject, triplet.style.name) is held
        assert not world.held_out(triplet.style_ref.subject, triplet.style.name)
        assert triplet.content.individual == triplet.target.individual
        if triplet.layout == "preserved":
            assert triplet.content == triplet.target and triplet.prompt == ""
        else:
            assert triplet.content.pose != triplet.target.pose and triplet.prompt == triplet.target.caption()


def test_triplet_is_what_was_asked_for() -> None:
    triplet = world.sample_triplet(rng(13), "shifted", False, "cat", "chalk")
    assert (triplet.layout, triplet.target.subject, triplet.style.name) == ("shifted", "cat", "chalk")
    assert triplet == world.sample_triplet(rng(13), "shifted", False, "cat", "chalk")
    assert all(is_picture(picture) for picture in triplet.render())


def test_triplet_says_what_cannot_be_drawn() -> None:
    held = next(s for s in world.STYLES if world.held_out("cat", s))
    with pytest.raises(ValueError, match="training pair"):
        world.sample_triplet(rng(), subject="cat", style=held)
    with pytest.raises(ValueError, match="sideways"):
        world.sample_triplet(rng(), "sideways")
    with pytest.raises(ValueError, match="cubist"):
        world.sample_style(rng(), "cubist")
    with pytest.raises(ValueError, match="dragon"):
        world.sample_scene(rng(), "dragon")


def test_manifest_round_trip(tmp_path) -> None:
    manifest = world.write_manifest(tmp_path / "a", 6, 14, split="test")
    rows = [json.loads(line) for line in manifest.read_text(encoding="utf-8").splitlines()]
    source = rng(14)
    assert len(rows) == len({row["id"] for row in rows}) == 6
    for row in rows:
        triplet = world.sample_triplet(source)
        assert set(row) == {"id", "target", "style", "content", "prompt", "layout", "scores", "split"}
        assert (row["id"], row["layout"], row["prompt"]) == (triplet.id, triplet.layout, triplet.prompt)
        assert row["split"] == "test" and row["scores"] == {}
        for path, picture in zip((row["target"], row["style"][0], row["content"]), triplet.render(), strict=True):
            with Image.open(manifest.parent / path) as image:
                assert np.array_equal(np.asarray(image), picture)
    again = world.write_manifest(tmp_path / "b", 6, 14, split="test")
    assert again.read_bytes() == manifest.read_bytes()


def test_contact_sheet_has_a_cell_per_picture() -> None:
    sheet = world.contact_sheet(1, subjects=("cat", "car"), styles=("oil",))
    assert sheet.width >= 2 * 128 and sheet.height >= 2 * 128
