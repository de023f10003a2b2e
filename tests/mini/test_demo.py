"""The demonstration picture, and how well the bundled weights follow references they never saw in training."""

from __future__ import annotations

import pytest
from comfyui_uso.cli import main
from comfyui_uso.mini import demo
from comfyui_uso.mini.bench.cases import cases
from comfyui_uso.mini.bench.drawer import draw_with
from comfyui_uso.mini.example_pictures import examples
from comfyui_uso.mini.experiment.measure import measure
from comfyui_uso.mini.judges.vectors import read_judges
from comfyui_uso.mini.model import load_mini
from comfyui_uso.mini.world import HELD_OUT_SUBJECTS, STYLES, SUBJECTS
from PIL import Image


def test_the_demo_shows_its_examples_in_five_columns(tmp_path):
    demo.run(tmp_path / "demo.png", steps=2)
    picture = Image.open(tmp_path / "demo.png")
    found, shown = examples(), [name for names in demo.GROUPS.values() for name in names]
    assert len(shown) >= 3 and set(shown) <= set(found)
    assert picture.width > 5 * 128 and picture.height > len(shown) * 128
    assert all(part.size == (128, 128) for pair in found.values() for part in (pair.content, pair.style))


def test_the_groups_of_the_demo_are_what_they_say():
    """Its words name the class, and a class is either held out or not."""
    found = examples()
    for names, held_out in zip(demo.GROUPS.values(), (False, True), strict=True):
        for name in names:
            (subject,) = set(found[name].prompt.split()) & set(SUBJECTS)
            assert (subject in HELD_OUT_SUBJECTS) is held_out


@pytest.mark.long
def test_the_miniature_follows_its_references():
    """On held-out styles and classes: well above chance with a reference, near chance without."""
    found = measure(draw_with(load_mini(), steps=8, cfg=3.0), read_judges(), cases(32, seed=5))
    none, chance = found["none"], 1 / len(STYLES)
    assert found["true"]["style"] > 0.85, "the judge of styles is weak"
    for mode in ("style", "joint"):
        assert found[mode]["likeness"] >= none["likeness"] + 0.25, found
    for mode in ("subject", "joint"):
        half_way = (none["resemblance"] + found["true"]["resemblance"]) / 2
        assert found[mode]["resemblance"] >= half_way, found
    for mode in ("none", "subject"):
        assert found[mode]["style"] <= 4 * chance, found


def test_a_name_that_is_no_picture_is_refused_before_anything_is_drawn(tmp_path, capsys):
    assert main(["demo", "--out", str(tmp_path / "out")]) == 2
    assert "expected the name of a picture" in capsys.readouterr().err
