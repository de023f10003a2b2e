"""Style and layout are told apart: the one forgets places, the other forgets textures."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from comfyui_uso.mini.world import STYLES, SUBJECTS, render_style, sample_scene, sample_style
from comfyui_uso.uso_model.judging.likeness import layout_likeness, style_likeness


def stripes(angle, period, colour=(0.8, -0.2, 0.1), size=128):
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    wave = torch.sin((x * math.cos(angle) + y * math.sin(angle)) * 2 * math.pi / period)
    return (wave[None] * torch.tensor(colour)[:, None, None])[None]


def test_a_picture_is_like_itself_moved_or_scaled():
    x = stripes(0.3, 12)
    assert style_likeness(x, x) == pytest.approx(1.0) and layout_likeness(x, x) == pytest.approx(1.0)
    assert style_likeness(x, x.roll(37, dims=3)) > 0.95
    assert style_likeness(x, stripes(1.4, 12)) < 0.85 and style_likeness(x, stripes(0.3, 48)) < 0.9
    assert style_likeness(x, stripes(0.3, 12, (-0.1, 0.2, 0.9))) < 0.7


def test_layout_sees_places_and_not_textures():
    half = torch.cat([torch.full((1, 3, 128, 64), -0.7), torch.full((1, 3, 128, 64), 0.7)], dim=3)
    assert layout_likeness(half, half + 0.3 * stripes(0.5, 6)) > 0.95
    assert layout_likeness(half, half.flip(3)) == pytest.approx(-1.0, abs=1e-4)
    assert abs(layout_likeness(half, half.transpose(2, 3)).item()) < 0.1


def test_drawn_styles_are_told_apart_across_subjects():
    """Two subjects in one of the miniature's styles are more alike than what is in two styles, on average."""
    rng = np.random.default_rng(3)
    subjects, styles = SUBJECTS[:3], STYLES[:6]
    drawn = {}
    for style in styles:
        look = sample_style(rng, style)
        for subject in subjects:
            pixels = render_style(sample_scene(rng, subject), look)
            drawn[subject, style] = torch.from_numpy(pixels.copy()).movedim(-1, 0)[None].float() / 127.5 - 1
    keys = list(drawn)
    pairs = [(a, b) for i, a in enumerate(keys) for b in keys[i + 1 :]]
    same = [style_likeness(drawn[a], drawn[b]).item() for a, b in pairs if a[1] == b[1]]
    other = [style_likeness(drawn[a], drawn[b]).item() for a, b in pairs if a[1] != b[1]]
    assert sum(same) / len(same) > sum(other) / len(other) + 0.05
