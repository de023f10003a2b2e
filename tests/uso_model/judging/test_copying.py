"""Copying is told on constructed vectors and pictures, whose answers are known."""

from __future__ import annotations

import math

import pytest
import torch
from comfyui_uso.uso_model.judging.copying import border_difference, copy_paste, crop_likeness, crops, style_leak


def at(*degrees: float) -> torch.Tensor:
    """Return vectors in one plane, of different lengths."""
    angles = torch.tensor(degrees).deg2rad()
    return torch.stack([angles.cos(), angles.sin(), 0 * angles], dim=1) * torch.arange(1, len(degrees) + 1)[:, None]


def test_copy_paste_is_1_for_the_reference_0_between_and_minus_1_for_the_target():
    target, reference = at(0, 0, 0, 0, 0), at(60, 60, 60, 60, 60)
    found = copy_paste(at(60, 30, 0, 45, 120), target, reference)
    assert found.tolist() == pytest.approx([1, 0, -1, 0.5, 1], abs=1e-6)
    out_of_plane = torch.tensor([[0.0, 0.0, 5.0]])
    assert copy_paste(out_of_plane, at(0), at(60)).item() == pytest.approx(0, abs=1e-6)


def test_copy_paste_stays_between_minus_1_and_1_and_is_0_without_another_picture():
    vectors = torch.randn(3, 200, 16, generator=torch.Generator().manual_seed(0))
    assert copy_paste(*vectors).abs().max() <= 1 + 1e-9
    assert copy_paste(at(30), at(60), at(60)).item() == 0
    near = at(0, 0), at(1e-3, 1e-3)
    assert copy_paste(at(1e-3, 0), *near).tolist() == pytest.approx([1, -1], abs=1e-3)


def test_a_crop_that_was_pasted_is_found():
    def mean_colour(pictures: list[torch.Tensor]) -> torch.Tensor:
        return torch.stack([picture.mean(dim=(0, 2, 3)) for picture in pictures])

    reference = torch.full((1, 3, 64, 64), -0.5)
    reference[..., 32:, 32:] = torch.tensor([1.0, -1.0, 0.2])[:, None, None]
    drawn = torch.full((1, 3, 40, 80), 0.5)
    drawn[..., :20, 20:60] = torch.tensor([1.0, -1.0, 0.2])[:, None, None]
    whole = torch.nn.functional.cosine_similarity(mean_colour([drawn]), mean_colour([reference]))
    assert crop_likeness(mean_colour(crops(drawn)), mean_colour(crops(reference))) > 0.999 > 0.6 > whole
    sizes = {tuple(crop.shape[-2:]) for crop in crops(drawn)}
    assert sizes == {(40, 80), (28, 56), (20, 40)} and len(crops(drawn)) == 1 + 4 + 9
    assert {tuple(crop.shape[-2:]) for crop in crops(torch.zeros(1, 3, 1, 1))} == {(1, 1)}


def test_a_leak_is_what_only_the_own_style_picture_has():
    styles = torch.eye(3, 4)
    common, own = torch.tensor([1.0, 1.0, 1.0, 3.0]), torch.tensor([0, 1])
    leaked = common + torch.tensor([0.0, 2.0, 0.0, 0.0])
    found = style_leak(torch.stack([common, leaked]), styles, own)
    assert found[0] == pytest.approx(0, abs=1e-6) and found[1] == pytest.approx(2 / leaked.norm().item(), abs=1e-6)
    assert style_leak(common[None], styles[:1], own[:1]).isnan().all()


def test_borders_are_compared_by_their_colour():
    white, black = torch.ones(1, 3, 30, 50), -torch.ones(1, 3, 20, 20)
    framed = white.clone()
    framed[..., 2:-2, 2:-2] = -1
    assert border_difference(white, framed) == pytest.approx(0, abs=1e-3)
    assert border_difference(framed, black) == pytest.approx(100, abs=0.1)
    assert math.isfinite(border_difference(torch.zeros(1, 3, 1, 1), black).item())
