"""The procedural world: determinism, the held-out split, captions and triplets."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from comfyui_uso.mini import world
from comfyui_uso.mini.world.drawing import draw
from comfyui_uso.mini.world.fills import FILLS
from comfyui_uso.mini.world.hybrids import Hybrid
from comfyui_uso.mini.world.lines import LINES
from comfyui_uso.mini.world.palettes import PALETTES
from comfyui_uso.mini.world.styles import TABLE
from comfyui_uso.mini.world.surfaces import SURFACES


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


@pytest.mark.parametrize("beyond", [False, True])
def test_every_kind_of_style_renders_and_depends_on_its_parameters(beyond: bool) -> None:
    source = rng(3)
    for name in (*world.STYLES, *[world.IMPROVISED] * 40):
        scene = world.sample_scene(source)
        first, second = (world.sample_style(source, name, beyond) for _ in range(2))
        pictures = [world.render_style(scene, style) for style in (first, second)]
        assert all(is_picture(picture) for picture in pictures)
        assert not np.array_equal(*pictures), name


def test_training_never_draws_parameters_of_the_held_out_ranges() -> None:
    source = rng(4)
    for name in world.STYLES:
        for part, table in (("fill", FILLS), ("line", LINES), ("palette", PALETTES), ("surface", SURFACES)):
            choice = getattr(TABLE[name], part)
            ranges = {**table[choice.kind].ranges, **choice.narrowed}
            for beyond in (False, True):
                drawn = dict(getattr(world.sample_style(source, name, beyond), part).params)
                assert drawn.keys() == ranges.keys()
                for key, value in drawn.items():
                    # values are rounded to three digits
                    assert (value >= ranges[key].split - 1e-3) if beyond else (value <= ranges[key].split + 1e-3)


def test_kinds_of_a_style_exist() -> None:
    for entry in TABLE.values():
        for choice, table in ((entry.fill, FILLS), (entry.line, LINES), (entry.palette, PALETTES)):
            assert set(choice.narrowed) <= set(table[choice.kind].ranges)
        assert set(entry.surface.narrowed) <= set(SURFACES[entry.surface.kind].ranges)


def test_the_world_is_as_large_as_it_says() -> None:
    assert len(world.SUBJECTS) >= 24 and len(world.STYLES) >= 32
    assert set(world.HELD_OUT_STYLES) | set(world.TRAINING_STYLES) == set(world.STYLES)
    assert not set(world.HELD_OUT_STYLES) & set(world.TRAINING_STYLES) and len(world.HELD_OUT_STYLES) == 8
    assert len(world.HELD_OUT_SUBJECTS) == 4 and set(world.HELD_OUT_SUBJECTS) < set(world.SUBJECTS)


def test_improvised_styles_keep_away_from_the_held_out_ones() -> None:
    """A held-out style's fill and palette are each seen in training, but never together."""
    source = rng(6)
    kept = {(TABLE[name].fill.kind, TABLE[name].palette.kind) for name in world.HELD_OUT_STYLES}
    drawn = [world.sample_style(source, world.IMPROVISED) for _ in range(600)]
    named = [world.sample_style(source, name) for name in world.TRAINING_STYLES]
    pairs = {(style.fill.kind, style.palette.kind) for style in (*drawn, *named)}
    assert not kept & pairs
    assert {fill for fill, _ in kept} <= {fill for fill, _ in pairs}
    assert {palette for _, palette in kept} <= {palette for _, palette in pairs}


def test_an_individual_keeps_its_marks_and_moves_its_parts() -> None:
    who = world.Individual("cat", "red", "blue", "cream", "plain", (0.5, 0.5, 0.5, 0.5))
    spotted = replace(who, marking="spots")

    def photo(individual: world.Individual, move: float = 0.5, lean: float = 0.0) -> np.ndarray:
        pose = world.Pose(64.0, 64.0, 45.0, 0.0, False, lean, move)
        return world.render_photo(world.Scene(individual, pose, "sand", False, 1, 0))

    plain = photo(who)
    assert np.array_equal(plain, photo(who))
    for other in (photo(spotted), photo(who, move=1.0), photo(who, lean=0.2), photo(replace(who, accent="gold"))):
        assert not np.array_equal(plain, other)


@pytest.mark.parametrize("hybrid", [False, True])
def test_subject_fills_about_half_of_the_frame(hybrid: bool) -> None:
    source = rng(7)
    for subject in world.SUBJECTS:
        for _ in range(4):
            inside = draw(world.sample_scene(source, subject, hybrid)).silhouette < 0
            rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
            side = max(np.ptp(rows), np.ptp(columns)) / 128
            assert 0.42 <= side <= 1.0, subject


def test_drawing_weights_sum_to_one() -> None:
    for subject in world.SUBJECTS:
        drawing = draw(world.sample_scene(rng(8), subject))
        assert np.allclose(drawing.weights.sum(0), 1.0, atol=1e-5)
        assert np.isfinite(drawing.edge).all() and np.isfinite(drawing.relief).all()


def test_every_caption_word_is_in_the_vocabulary() -> None:
    source, seen = rng(9), set()
    for _ in range(400):
        scene = world.sample_scene(source)
        assert len(scene.caption().split()) <= 12
        for text in (
            world.photo_caption(scene),
            *(world.style_caption(scene, name) for name in (*world.STYLES, world.IMPROVISED)),
        ):
            assert len(text.split()) <= 15
            seen.update(text.split())
    assert seen == set(world.VOCABULARY)
    assert tuple(sorted(set(world.VOCABULARY))) == world.VOCABULARY


def test_caption_reads_as_english() -> None:
    individual = world.Individual("teapot", "orange", "blue", "cream", "plain", (0.5, 0.5, 0.5, 0.5))
    scene = world.Scene(individual, world.Pose(64.0, 64.0, 40.0, 0.0, False, 0.0, 0.5), "sand", False, 1, 0)
    assert scene.caption() == "an orange and blue teapot on a sand background"
    assert world.style_caption(scene, "oil") == f"an oil painting of {scene.caption()}"
    assert world.style_caption(scene, "chalk") == f"a chalk drawing of {scene.caption()}"
    spotted = replace(scene, individual=replace(individual, marking="spots"))
    assert spotted.caption() == "a spotted orange and blue teapot on a sand background"


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
        assert (triplet.target.subject in world.HELD_OUT_SUBJECTS) is held
        assert (triplet.style.name in world.HELD_OUT_STYLES) is held
        assert triplet.style_ref.subject in world.TRAINING_SUBJECTS
        assert triplet.content.individual == triplet.target.individual
        if triplet.layout == "preserved":
            assert triplet.content == triplet.target and triplet.prompt == ""
        else:
            assert triplet.content.pose != triplet.target.pose and triplet.prompt == triplet.target.caption()


def test_a_hybrid_has_parts_of_both_classes() -> None:
    """With its seam moved out of the picture and without waves, a hybrid is one of its two classes."""
    hybrid = Hybrid("robot", (0.1, 0.9, 0.4, 0.6), 0.0, 0.0, 1.0, (0.0, 0.0, 0.0, 0.0))
    who = world.Individual("owl", "red", "blue", "cream", "plain", (0.5, 0.5, 0.5, 0.5), hybrid)

    def roles(individual: world.Individual) -> np.ndarray:
        pose = world.Pose(64.0, 64.0, 45.0, 0.0, False, 0.0, 0.5)
        return draw(world.Scene(individual, pose, "sand", False, 1, 0)).weights

    owl, robot = roles(replace(who, hybrid=None)), roles(replace(who, subject="robot", shape=hybrid.shape, hybrid=None))
    joined = roles(who)
    assert np.array_equal(roles(replace(who, hybrid=replace(hybrid, offset=9.0))), owl)
    assert np.array_equal(roles(replace(who, hybrid=replace(hybrid, offset=-9.0))), robot)
    assert np.array_equal(joined[:, :60], owl[:, :60]) and np.array_equal(joined[:, 68:], robot[:, 68:])
    with pytest.raises(ValueError, match="griffin"):
        replace(who, hybrid=replace(hybrid, other="griffin"))


def test_hybrids_are_as_many_as_asked_and_never_held_out() -> None:
    source = rng(17)
    triplets = [world.sample_triplet(source, hybrids=0.5) for _ in range(200)]
    joined = [t.target.individual for t in triplets if t.target.individual.hybrid]
    assert 70 <= len(joined) <= 130
    for who in joined:
        assert who.hybrid.other != who.subject and {who.hybrid.other, who.subject} <= set(world.TRAINING_SUBJECTS)
    assert all(t.content.individual == t.target.individual for t in triplets)
    assert all(
        world.sample_triplet(source, held_out=True, hybrids=1.0).target.individual.hybrid is None for _ in "abcd"
    )


def test_triplet_is_what_was_asked_for() -> None:
    triplet = world.sample_triplet(rng(13), "shifted", False, "cat", "chalk")
    assert (triplet.layout, triplet.target.subject, triplet.style.name) == ("shifted", "cat", "chalk")
    assert triplet == world.sample_triplet(rng(13), "shifted", False, "cat", "chalk")
    assert all(is_picture(picture) for picture in triplet.render())


def test_triplet_says_what_cannot_be_drawn() -> None:
    with pytest.raises(ValueError, match="sideways"):
        world.sample_triplet(rng(), "sideways")
    with pytest.raises(ValueError, match="cubist"):
        world.sample_style(rng(), "cubist")
    with pytest.raises(ValueError, match="dragon"):
        world.sample_scene(rng(), "dragon")


def test_sheets_have_a_cell_for_every_picture() -> None:
    for sheet, cells, columns in (
        (world.subjects_sheet(1, each=1, columns=6), len(world.SUBJECTS), 6),
        (world.styles_sheet(1, columns=7), len(world.STYLES), 7),
        (world.individual_sheet(1, "owl", count=5, columns=5), 5, 5),
        (world.hybrids_sheet(1, count=2, columns=4), 4, 4),
    ):
        assert sheet.width >= columns * 128 and sheet.height >= -(-cells // columns) * 128
