"""The stages: one list of names, a recipe for each, and settings that are values."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from comfyui_uso.cli import main
from comfyui_uso.mini.judges.training import JudgeRun
from comfyui_uso.mini.stage_names import NETWORK_STAGES, STAGES
from comfyui_uso.mini.stages import RECIPES, load_stage, recipe_of
from comfyui_uso.mini.training.runs import AutoencoderRun, EncoderRun
from comfyui_uso.trainer.recipe import TrainConfig
from comfyui_uso.uso_model.errors import UserError


def test_every_stage_has_a_recipe_and_every_recipe_is_one() -> None:
    others = {"curate", "expert"}  # of curation, see docs/curation.md
    assert sorted({*STAGES, *others}) == sorted(path.stem for path in RECIPES.glob("*.yaml"))
    for stage in STAGES:
        kinds = (AutoencoderRun, EncoderRun) if stage in NETWORK_STAGES else (JudgeRun, TrainConfig)
        assert isinstance(load_stage(stage), kinds), recipe_of(stage)


def test_each_network_finds_what_it_reads() -> None:
    """The vision tower learns from the descriptor, the decoder from both."""
    order = list(NETWORK_STAGES)
    assert order.index("encoders") < order.index("vision") < order.index("decoder")
    assert order.index("descriptor") < order.index("vision")


@pytest.mark.parametrize("stage", ["descriptor", "style", "judges"])
def test_settings_are_values_and_any_path_survives(stage: str, tmp_path: Path) -> None:
    name = "style.run_dir" if stage == "judges" else "loop.run_dir"
    for odd in ("a #2", "a: b", "[x", "{", "~", "no", "$HOME", "back\\slash", "'", "2026-01-01"):
        for config in (
            load_stage(stage, {name: tmp_path / odd}),
            load_stage(stage, texts=[f"{name}={tmp_path / odd}"]),
        ):
            loop = config.style if stage == "judges" else config.loop
            assert loop.run_dir == tmp_path / odd


def test_texts_win_over_values_and_wrong_names_are_told() -> None:
    assert load_stage("vision", {"loop.steps": 3}, ["loop.steps=4"]).loop.steps == 4
    assert load_stage("base", {"loop.steps": 3}, ["loop.steps=4"]).loop.steps == 4
    with pytest.raises(UserError, match=r"loop\.stepz is unknown, did you mean loop\.steps\?"):
        load_stage("vision", {"loop.stepz": 3})


def test_the_command_knows_the_stages_without_importing_what_trains_them(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["mini", "train", "everything"])
    err = capsys.readouterr().err
    assert ended.value.code == 2 and all(stage in err for stage in STAGES)
    heavy = "import sys, comfyui_uso.cli as c; c.build_parser(); print({'torch', 'pydantic'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", heavy], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.strip() == "set()"
