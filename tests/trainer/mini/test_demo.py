"""The demonstration picture and the score, with the bundled weights."""

from __future__ import annotations

import pytest
import torch
from comfyui_uso.trainer.mini import demo
from comfyui_uso.trainer.mini.judge import Judge, train_judge
from comfyui_uso.trainer.mini.score import score
from comfyui_uso.uso_model import mini
from PIL import Image


def test_the_demo_shows_every_pair_in_five_columns(tmp_path):
    demo.run(tmp_path / "demo.png", steps=2)
    picture = Image.open(tmp_path / "demo.png")
    pairs = len(demo.examples())
    assert pairs >= 3 and picture.width > 5 * 128 and picture.height > pairs * 128
    assert all(part.size == (128, 128) for pair in demo.examples() for part in pair)


def test_the_judge_tells_subject_and_style():
    subject, style = Judge()(torch.zeros(2, 3, 128, 128))
    assert subject.shape == (2, 12) and style.shape == (2, 13)


@pytest.mark.slow
def test_the_miniature_follows_its_references():
    """On held-out pairs: three times chance with a reference, near chance without."""
    judge, accuracy = train_judge(pictures=2600, steps=260)
    assert min(accuracy.values()) > 0.8, f"the judge itself is weak: {accuracy}"
    found = score(mini.load(), judge, count=36, steps=8)
    chance = found["chance"]
    assert found["style"]["style"] >= 3 * chance["style"], found
    assert found["both"]["style"] >= 3 * chance["style"], found
    assert found["content"]["subject"] >= 3 * chance["subject"], found
    assert found["both"]["subject"] >= 3 * chance["subject"], found
    assert found["none"]["style"] <= 2.5 * chance["style"], found
    assert found["content"]["style"] <= 2.5 * chance["style"], found
