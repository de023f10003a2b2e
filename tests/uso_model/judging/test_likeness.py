"""Style and layout are told apart: the one forgets places, shapes and colours, the other forgets strokes."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from comfyui_uso.mini.world import STYLES, SUBJECTS, render_photo, render_style, sample_scene, sample_style
from comfyui_uso.uso_model.images import picture_tensor
from comfyui_uso.uso_model.judging.discrimination import discriminate
from comfyui_uso.uso_model.judging.lab import delta_e, lab
from comfyui_uso.uso_model.judging.likeness import (
    layout_likeness,
    structure_likeness,
    style_likeness,
    style_statistics,
)
from PIL import Image

EMOJI = Path(__file__).parents[2] / "data/emoji"


def stripes(angle, period, colour=(0.8, -0.2, 0.1), size=128):
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    wave = torch.sin((x * math.cos(angle) + y * math.sin(angle)) * 2 * math.pi / period)
    return (wave[None] * torch.tensor(colour)[:, None, None])[None]


def test_a_picture_is_like_itself_moved_turned_or_mirrored():
    x = stripes(0.3, 12)
    assert style_likeness(x, x) == pytest.approx(1.0) and layout_likeness(x, x) == pytest.approx(1.0)
    assert style_likeness(x, x.roll(37, dims=3)) > 0.95 and style_likeness(x, x.transpose(2, 3)) > 0.99
    hard = x.sign() * torch.tensor([0.8, -0.2, 0.1])[:, None, None]
    assert style_likeness(x, hard) == style_likeness(hard, x) < 0.6 and style_likeness(x, stripes(0.3, 48)) < 0.8
    noisy = x + 0.3 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    assert style_likeness(x, noisy) < 0.8


@pytest.mark.parametrize("size", [(16, 16), (16, 300), (1, 1), (4096, 16)])
@pytest.mark.parametrize("value", [-1.0, 0.3, 1.0])
def test_pictures_of_one_colour_and_of_any_size_have_a_likeness(size, value):
    x = torch.full((1, 3, *size), value)
    assert style_likeness(x, x) == pytest.approx(1.0) and 0 <= style_likeness(x, stripes(0.3, 12)) < 0.7


def test_large_pictures_are_compared_as_they_look_smaller():
    large = torch.nn.functional.interpolate(stripes(0.3, 24, size=256), (1024, 1024), mode="bicubic")
    assert style_likeness(large, stripes(0.3, 24, size=256)) > 0.95


def test_a_backdrop_does_not_count():
    """A drawing on white, on grey and with a wider margin is the same drawing."""
    drawing = stripes(0.3, 12, size=64)
    on = [torch.nn.functional.pad(drawing, (margin,) * 4, value=value) for margin, value in ((9, 1.0), (30, 0.2))]
    assert style_likeness(*on) > 0.95


def test_lab_has_the_published_values():
    corners = torch.tensor([[1, 1, 1], [-1, -1, -1], [1, -1, -1], [-1, -1, 1]]).float()[:, :, None, None]
    expected = [[100, 0, 0], [0, 0, 0], [53.24, 80.09, 67.2], [32.3, 79.19, -107.86]]
    found = lab(corners)[..., 0, 0]
    assert torch.allclose(found, torch.tensor(expected).float(), atol=0.05)
    assert delta_e(found[:1], found[1:2]) == pytest.approx(100, abs=0.01)


def test_layout_sees_places_and_not_textures():
    half = torch.cat([torch.full((1, 3, 128, 64), -0.7), torch.full((1, 3, 128, 64), 0.7)], dim=3)
    assert layout_likeness(half, half + 0.3 * stripes(0.5, 6)) > 0.95
    assert layout_likeness(half, half.flip(3)) == pytest.approx(-1.0, abs=1e-4)
    assert abs(layout_likeness(half, half.transpose(2, 3)).item()) < 0.1


def measured(pictures):
    """Return what the measure tells apart in `(subject, style, pixels 1 3 h w)`."""
    vectors = torch.cat([style_statistics(pixels) for *_, pixels in pictures])
    subjects, styles, _ = zip(*pictures, strict=True)
    return discriminate(vectors @ vectors.T, styles, subjects, draws=200)


def test_hands_are_told_apart_and_their_subjects_less():
    """48 subjects, each drawn by three hands that no one here has had a part in."""
    files = sorted(EMOJI.glob("*.png"))
    found = measured([(*file.name.split(".")[:2], picture_tensor(Image.open(file).convert("RGB"))) for file in files])
    assert len(files) == found.pictures == 144
    assert found.style.value >= 0.7 and found.subject.value <= 0.6 and found.style.low > found.subject.high


def test_drawn_styles_are_told_apart_across_subjects():
    rng = np.random.default_rng(3)
    drawn = []
    for style in STYLES[:8]:
        look = sample_style(rng, style)
        for subject in SUBJECTS[:6]:
            pixels = render_style(sample_scene(rng, subject), look)
            drawn.append((subject, style, torch.from_numpy(pixels.copy()).movedim(-1, 0)[None].float() / 127.5 - 1))
    found = measured(drawn)
    assert found.style.value >= 0.9 and found.subject.value <= 0.6 and found.style.low > found.subject.high


def test_structure_is_edges_and_not_colours() -> None:
    """A drawing in other colours has the same structure; moved, mirrored or another one it has not."""
    rng = np.random.default_rng(4)
    scenes = [sample_scene(rng, subject) for subject in SUBJECTS[:6]]
    drawn = [picture_tensor(Image.fromarray(render_style(scene, sample_style(rng)))) for scene in scenes]
    photos = [picture_tensor(Image.fromarray(render_photo(scene))) for scene in scenes]
    moved = [picture_tensor(Image.fromarray(render_photo(scene.repose(rng)))) for scene in scenes]
    same, other = (
        [float(structure_likeness(a, b)) for a, b in zip(drawn, those, strict=True)] for those in (photos, moved)
    )
    assert min(same) > max(other)
    x = drawn[0]
    assert structure_likeness(x, -x) == pytest.approx(1.0, abs=0.1) and structure_likeness(x, x) == pytest.approx(1.0)
    assert structure_likeness(x, x.flip(3)) < 0.5
    large = torch.nn.functional.interpolate(x, (512, 384), mode="bicubic").clamp(-1, 1)
    assert structure_likeness(x, large) > 0.95 and structure_likeness(x, torch.zeros(1, 3, 1, 1)) == 0
