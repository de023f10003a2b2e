"""Recipes are valid and commented, and a wrong setting is named with what may have been meant."""

from __future__ import annotations

import re

import pytest
from comfyui_uso.trainer.reading.recipe_files import RECIPES, load_recipe, recipe_names
from comfyui_uso.trainer.reading.values import load_config
from comfyui_uso.trainer.recipe import TrainConfig

NAMES = recipe_names()
PAPER = [name for name in NAMES if name.startswith(("paper", "adapt", "my_", "stylise"))]


@pytest.mark.parametrize("name", NAMES)
def test_every_recipe_is_valid(name):
    assert load_recipe(RECIPES / f"{name}.yaml", {"loop.steps": 7}).loop.steps == 7


def test_the_promised_recipes_are_there():
    promised = {"paper_stage1", "paper_stage2", "paper_cvpr", "adapt_24gb", "adapt_16gb", "adapt_12gb", "my_style"}
    assert promised | {"my_subject", "toy"} <= set(NAMES)


@pytest.mark.parametrize("name", [name for name in PAPER if name.startswith(("paper", "stylise"))])
def test_every_value_of_a_paper_recipe_says_where_it_is_from(name):
    """Paths are the user's; every other value is marked."""
    for line in (RECIPES / f"{name}.yaml").read_text(encoding="utf-8").splitlines():
        match = re.fullmatch(r"\s*([a-z_0-9]+): (\S.*)", line)
        if match is None or line.startswith("#") or "/" in match[2].partition("#")[0]:
            continue
        assert re.search(r"# (paper|UNO code|UNO paper|our choice)", line), f"{name}: {line}"


def test_the_papers_numbers():
    one, two = (load_recipe(RECIPES / f"paper_stage{n}.yaml") for n in (1, 2))
    assert (one.loop.steps, one.loop.batch_size, one.data.size, one.reward.start) == (23_000, 16, 768, 16_000)
    assert (two.loop.steps, two.loop.batch_size, two.data.size, two.reward.start) == (21_000, 64, 1024, 18_000)
    assert one.loop.learning_rate == two.loop.learning_rate == 8e-5 and two.lora.rank == 128
    assert not two.train_projector
    cvpr = load_recipe(RECIPES / "paper_cvpr.yaml")
    assert cvpr.train_projector and cvpr.conditions.dropout == 0.25


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("loop.stepz=7", r"command line.*loop.stepz is unknown, did you mean loop.steps"),
        ("data.rank=4", "data.rank is unknown, did you mean lora.rank"),
        ("stage=foo", "stage: Input should be"),
        ("loop.micro_batch=3", "batch_size 4 is not a multiple of micro_batch 3"),
        ("reward.steps=3", r"reward.start: Field required"),
        ("loop.steps", "expected name=value"),
    ],
)
def test_a_wrong_setting_is_named(override, message):
    with pytest.raises(ValueError, match=message):
        load_recipe(RECIPES / "toy.yaml", texts=[override])


def test_a_file_that_is_no_mapping_is_refused(tmp_path):
    (tmp_path / "a.yaml").write_text("- 1\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"a\.yaml holds a list"):
        load_config(TrainConfig, tmp_path / "a.yaml")
    (tmp_path / "b.yaml").write_text("a: [1\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"b\.yaml is not YAML"):
        load_config(TrainConfig, tmp_path / "b.yaml")


def test_a_file_that_is_not_there_is_said_to_be_just_that(tmp_path):
    with pytest.raises(ValueError, match=r"^[^(]*absent\.yaml is not there; correct the path$") as caught:
        load_config(TrainConfig, tmp_path / "absent.yaml")
    assert "YAML" not in str(caught.value)


@pytest.mark.parametrize("end", ["lora:\n  rank: 3\n", "loop:\n  steps: 3\n", "stage: style\n"])
def test_a_setting_that_stands_twice_is_refused(end, tmp_path):
    """PyYAML takes the last without a word, and with it all of its section."""
    path = tmp_path / "twice.yaml"
    path.write_text((RECIPES / "toy.yaml").read_text(encoding="utf-8") + end, encoding="utf-8")
    with pytest.raises(
        ValueError, match=rf"twice.yaml is not YAML: '{end.split(':')[0]}' stands twice, in line \d+ and"
    ):
        load_recipe(path)
