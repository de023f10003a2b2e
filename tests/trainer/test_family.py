"""Model families: a third one trains by the same code, and recipes find theirs by path, by name and by older keys."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from comfyui_uso import cli
from comfyui_uso.trainer.encoders import Encoders
from comfyui_uso.trainer.engine.checkpoint import latest
from comfyui_uso.trainer.export.names import OWN, PROJECTOR, file_name, newest
from comfyui_uso.trainer.family import declared_families, family_of, load_family
from comfyui_uso.trainer.reading.recipe_files import RECIPES, load_recipe, make_recipe, recipe_file
from comfyui_uso.trainer.reading.values import read_yaml
from comfyui_uso.trainer.recipe import FLUX, ModelsConfig, TrainConfig
from comfyui_uso.trainer.run_folder import read_run
from comfyui_uso.trainer.train import train
from comfyui_uso.uso_model.checkpoints import read_metadata
from comfyui_uso.uso_model.errors import UserError
from comfyui_uso.uso_model.projector import HierarchicalProjector
from comfyui_uso.uso_model.transformer import UsoTransformer

from .conftest import TINY

PATH = f"{__name__}:TOY"
MINI = "comfyui_uso.mini.family:USO_MINI"


class ToyModels(ModelsConfig):
    """Settings that no other family has."""

    tokens: int
    folder: Path


class ToyFamily:
    """Random networks and encoders that are formulas."""

    name, licence, export_dtype, from_nothing = "toy", "CC0-1.0", "fp32", True
    models = ToyModels
    encoders: Encoders

    def open_encoders(self, models: ToyModels, device: torch.device) -> Encoders:
        return self.encoders

    def bundled(self, models: ToyModels, part: str) -> Path | None:
        return newest(models.folder, PROJECTOR if part == "projector" else OWN)

    def fresh_transformer(self, models: ToyModels) -> UsoTransformer:
        return UsoTransformer(TINY)

    def fresh_projector(self, models: ToyModels, width: int, levels: Collection[str]) -> HierarchicalProjector:
        return HierarchicalProjector(4, models.tokens, 6, width, levels=levels)

    def memory_note(self, config: TrainConfig) -> str | None:
        return "  toy: next to nothing"


TOY = ToyFamily()


@pytest.fixture
def toy_recipe(tmp_path: Path, manifest: Path, tiny_encoders: Encoders, monkeypatch: pytest.MonkeyPatch):
    """Return a function that writes a recipe of two steps for the toy family and returns its file."""
    monkeypatch.setattr(TOY, "encoders", tiny_encoders, raising=False)

    def make(stage: str, train_projector: bool = False, **models: Any) -> Path:
        values = {
            "stage": stage,
            "family": PATH,
            "data": {"manifests": [str(manifest)], "cache": str(tmp_path / "cache"), "size": 32, "content_size": 32},
            "models": {"tokens": 3, "folder": str(tmp_path / "base" / "out"), **models},
            "lora": {"rank": 2},
            "train_projector": train_projector,
            "memory": {"base": "fp32", "checkpointing": False},
            "loop": {
                "run_dir": str(tmp_path / stage),
                "steps": 2,
                "batch_size": 2,
                "learning_rate": 0.01,
                "loggers": [],
            },
        }
        (tmp_path / "base" / "out").mkdir(parents=True, exist_ok=True)
        path = tmp_path / f"{stage}.yaml"
        path.write_text(yaml.safe_dump(values), encoding="utf-8")
        return path

    return make


def test_a_third_family_trains_every_stage_by_the_same_code(
    toy_recipe: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    for stage, models, files in (
        ("base", {}, {OWN}),
        ("style", {}, {PROJECTOR}),
        ("triplet", {"new_projector": True, "train_projector": True}, {OWN, PROJECTOR}),
    ):
        config = load_recipe(toy_recipe(stage, **models))
        assert family_of(config) is TOY and isinstance(config.models, ToyModels) and config.models.tokens == 3
        assert train(config) == 2
        found = {path.name for path in config.folder.iterdir()}
        assert found == {file_name(stage, 2, part) for part in files}
        metadata = read_metadata(config.folder / found.pop())
        assert metadata["modelspec.architecture"] == "toy/lora" and metadata["modelspec.license"] == "CC0-1.0"
        # A run's folder is enough to go on.
        again = read_run(config.loop.run_dir, ["loop.steps=3"])
        assert isinstance(again.models, ToyModels) and train(again) == 3
    assert "toy: next to nothing" in caplog.text
    trained = latest(config.loop.run_dir)
    assert trained is not None and any("lora" in name for name in trained.trained())


def test_a_projector_that_nothing_trains_is_refused(toy_recipe: Callable[..., Path]) -> None:
    with pytest.raises(UserError, match="train it with train_projector true"):
        load_recipe(toy_recipe("triplet", new_projector=True))


def test_settings_of_a_family_are_checked_as_all_others(toy_recipe: Callable[..., Path]) -> None:
    with pytest.raises(UserError, match=r"style\.yaml holds wrong settings: models\.tokens: .*integer"):
        load_recipe(toy_recipe("style", tokens="many"))
    with pytest.raises(UserError, match=r"models\.token is unknown, did you mean models\.tokens\?"):
        load_recipe(toy_recipe("style"), texts=["models.token=4"])
    assert load_recipe(toy_recipe("style"), texts=["models.tokens=4"]).models.tokens == 4
    with pytest.raises(UserError, match=r"models\.tokens is unknown"):
        make_recipe(read_yaml(RECIPES / "my_style.yaml"), {"models.tokens": 4})


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("no_such_package.family:TOY", "no module no_such_package"),
        ("comfyui_uso.trainer.no_such:TOY", r"no module \S+no_such"),
        (f"{__name__}:NOTHING", "no NOTHING in"),
        ("flux", "package.module:object"),
        (":FLUX", "package.module:object"),
        (".family:FLUX", "package.module:object"),
        ("a:b:c", "package.module:object"),
        ("json:loads", "json:loads is no model family"),
        ("9a.b:C", "package.module:object"),
    ],
)
def test_a_wrong_path_is_one_sentence(path: str, message: str, toy_recipe: Callable[..., Path]) -> None:
    values = {**read_yaml(toy_recipe("style")), "family": path}
    with pytest.raises(UserError, match=message) as error:
        make_recipe(values)
    assert "\n" not in str(error.value)
    with pytest.raises(UserError, match=message):
        make_recipe(read_yaml(toy_recipe("style")), texts=[f"family={path}"])


def test_a_family_that_lacks_a_package_says_so_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "needy_family.py").write_text("import package_that_nobody_has\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="package_that_nobody_has"):
        load_family("needy_family:TOY")


BARE = {
    "stage": "triplet",
    "data": {"manifests": ["a.jsonl"], "cache": "cache"},
    "memory": {"base": "fp32"},
    "loop": {"run_dir": "run", "steps": 1, "batch_size": 1, "learning_rate": 0.1},
}
FLUX_FILES = {"vae": "v", "t5": "t", "clip": "c", "siglip": "s"}


@pytest.mark.parametrize("by", ["recipe", "values", "texts"])
def test_older_keys_name_the_family_and_its_settings(by: str) -> None:
    old = {"mini": True, "mini_size": "nano", "mini_weights": "folder #1"}
    if by == "recipe":
        config = make_recipe({**BARE, "models": old})
    elif by == "values":
        config = make_recipe(BARE, {f"models.{name}": value for name, value in old.items()})
    else:
        config = make_recipe(BARE, texts=[f"models.{name}={value}" for name, value in old.items()])
    assert config.family == MINI and family_of(config).name == "uso-mini"
    assert (config.models.size, config.models.weights) == ("nano", Path("folder #1"))


def test_older_flux_recipes_and_run_folders_switch_the_other_family_off() -> None:
    listed = {**FLUX_FILES, "mini": False, "mini_size": "mini", "mini_weights": None}
    for values, texts in (
        ({**BARE, "models": {**FLUX_FILES, "mini": False}}, []),
        ({**BARE, "models": listed}, []),
        ({**BARE, "models": FLUX_FILES}, ["models.mini=false"]),
    ):
        config = make_recipe(values, texts=texts)
        assert config.family == FLUX and family_of(config).name == "flux-1-dev"
        assert not {"mini", "size", "weights"} & set(config.models.model_dump())
    with pytest.raises(UserError, match="needs a file or folder for vae, t5, clip, siglip"):
        make_recipe({**BARE, "models": {"mini": False}})


def test_older_names_of_settings_are_typed_like_those_of_today() -> None:
    texts = ["flow.time_law=logit_normal", "memory.stream_blocks=3", "preserve.weight=2", "preserve.every=4"]
    config = make_recipe({**BARE, "models": FLUX_FILES}, texts=texts)
    assert config.flow.timestep_sampling == "logit_normal" and config.memory.blocks_to_swap == 3
    assert config.prior_preservation is not None and config.prior_preservation.every == 4


@pytest.mark.parametrize("stage", ["base", "style", "copy", "triplet", "reward"])
def test_recipes_of_a_family_have_names_with_its_prefix(
    stage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)  # where none of their files is
    (declared,) = declared_families()
    assert recipe_file(f"mini_{stage}") == declared.recipes / f"{stage}.yaml"
    assert load_recipe(recipe_file(f"mini_{stage}")).family == declared.path == MINI
    assert cli.main(["train", f"mini_{stage}"]) == 2
    err = capsys.readouterr().err
    told, *problems = err.splitlines()
    assert told.startswith("uso: ") and told.endswith(" problems") and all(line.startswith("- ") for line in problems)
    assert any("mini/weights is not there" in line for line in problems)
    with pytest.raises(UserError, match="expected a YAML file"):  # without the prefix it is nobody's
        recipe_file(stage)
