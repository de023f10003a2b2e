"""The bundled judges see what is there."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from comfyui_uso.mini.judges.networks import PHOTO, TRAITS, IdentityJudge, StyleJudge, load_judges, save_judge
from comfyui_uso.mini.judges.training import SHIFT, _moved, accuracy, render_individuals


def test_judges_have_a_class_for_all_there_is() -> None:
    assert StyleJudge()(torch.zeros(2, 3, 128, 128)).shape == (2, PHOTO + 1)
    vectors, traits = IdentityJudge()(torch.randn(2, 3, 128, 128))
    assert torch.allclose(vectors.norm(dim=1), torch.ones(2), atol=1e-5)
    assert tuple(part.shape[1] for part in traits) == TRAITS


def test_the_bundled_judges_are_good_on_fresh_renders() -> None:
    found = accuracy(*load_judges(), np.random.default_rng(31_337), count=150)
    assert found["style"] > 0.85 and found["identity"] > 0.8, found


def test_judges_round_trip(tmp_path) -> None:
    with pytest.raises(FileNotFoundError, match="uso mini train judges"):
        load_judges(tmp_path)
    judge = IdentityJudge().eval()
    for network in (StyleJudge(), judge):
        save_judge(network, tmp_path)
    x = torch.randn(1, 3, 128, 128)
    assert torch.allclose(load_judges(tmp_path)[1](x)[0], judge(x)[0], atol=1e-2)


def test_an_individual_is_the_same_in_every_call() -> None:
    few, more = render_individuals(5, [3]), render_individuals(5, range(4))
    assert all(torch.equal(part[0], whole[3]) for part, whole in zip(few, more, strict=True))
    assert not torch.equal(more.photos[0], more.photos[1]) and not torch.equal(more.photos[0], more.styled[0])


def test_moving_mirrors_and_shifts_and_changes_nothing_else() -> None:
    x = torch.rand(1, 3, 40, 40, generator=torch.Generator().manual_seed(1)).expand(16, -1, -1, -1)
    moved = _moved(x, torch.Generator().manual_seed(2))
    corners = range(2 * SHIFT + 1)
    whole = torch.nn.functional.pad(x[:1], [SHIFT] * 4, mode="reflect")[0]
    turned = torch.nn.functional.pad(x[:1].flip(3), [SHIFT] * 4, mode="reflect")[0]
    found = [
        [
            torch.equal(picture, source[:, a : a + 40, b : b + 40])
            for source in (whole, turned)
            for a in corners
            for b in corners
        ]
        for picture in moved
    ]
    assert all(sum(hits) == 1 for hits in found)
    assert len({hits.index(True) for hits in found}) > 8
