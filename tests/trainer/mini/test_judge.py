"""The bundled judges see what is there."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from comfyui_uso.trainer.mini.judge import PHOTO, TRAITS, IdentityJudge, StyleJudge, load_judges, save_judge
from comfyui_uso.trainer.mini.judge_training import accuracy


def test_judges_have_a_class_for_all_there_is() -> None:
    assert StyleJudge()(torch.zeros(2, 3, 128, 128)).shape == (2, PHOTO + 1)
    vectors, traits = IdentityJudge()(torch.randn(2, 3, 128, 128))
    assert torch.allclose(vectors.norm(dim=1), torch.ones(2), atol=1e-5)
    assert tuple(part.shape[1] for part in traits) == TRAITS


def test_the_bundled_judges_are_good_on_fresh_renders() -> None:
    found = accuracy(*load_judges(), np.random.default_rng(31_337), count=150)
    assert found["style"] > 0.85 and found["identity"] > 0.7, found


def test_judges_round_trip(tmp_path) -> None:
    with pytest.raises(FileNotFoundError, match="uso mini train judges"):
        load_judges(tmp_path)
    judge = IdentityJudge().eval()
    for network in (StyleJudge(), judge):
        save_judge(network, tmp_path)
    x = torch.randn(1, 3, 128, 128)
    assert torch.allclose(load_judges(tmp_path)[1](x)[0], judge(x)[0], atol=1e-2)
