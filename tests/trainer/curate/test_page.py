"""The recipes and files that docs/curation.md shows can be used as they stand there."""

from __future__ import annotations

import re
from pathlib import Path

import yaml
from comfyui_uso.trainer.curate.making.instructions import read_instructions
from comfyui_uso.trainer.curate.recipe import CurateConfig
from comfyui_uso.trainer.curate.steps import Row
from comfyui_uso.trainer.reading.recipe_files import load_recipe, recipe_file

from ...house import ROOT

PAGE = (ROOT / "docs/curation.md").read_text(encoding="utf-8")
BLOCKS = [yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", PAGE, re.S)]


def test_whole_recipes() -> None:
    recipes = [CurateConfig.model_validate(block) for block in BLOCKS if "source" in block]
    experts = [expert for recipe in recipes for expert in recipe.experts.values()]
    assert len(recipes) >= 2 and {expert.kind for expert in experts} == {"comfyui", "network", "command"}
    for expert in experts:
        assert expert.kind != "network" or load_recipe(recipe_file(expert.recipe or "")).models.projector


def test_instructions(tmp_path: Path) -> None:
    (found,) = [block for block in BLOCKS if "families" in block]
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(found), encoding="utf-8")
    row = Row("1", "1.png", "", "shifted", about={"style": "ink drawing"})
    assert read_instructions(str(path), "stylise").choose(row, "cat").startswith("Turn the drawing into")


def test_no_place_is_left_to_be_filled() -> None:
    assert re.findall(r"\b(DUPLICATES|WORLD|TODO|XXX)\b", PAGE) == []
