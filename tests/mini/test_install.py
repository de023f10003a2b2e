"""What was trained becomes the bundled weights: all of it, or nothing."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from comfyui_uso.mini import install as module
from comfyui_uso.mini.install import install
from comfyui_uso.mini.judges.networks import FILES
from comfyui_uso.mini.model import NAMES, weight_files
from comfyui_uso.trainer.export.names import OWN, PROJECTOR, file_name
from comfyui_uso.trainer.reading.recipe_files import load_recipe, recipe_file
from comfyui_uso.trainer.run_folder import shareable
from comfyui_uso.uso_model.checkpoints import write_safetensors
from comfyui_uso.uso_model.errors import UserError

FLUX, LORA, MATCHING = (file_name(*name) for name in (("base", 9, OWN), ("reward", 5, OWN), ("reward", 5, PROJECTOR)))
"""What the stages write last."""


@pytest.fixture(autouse=True)
def bundled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let another folder stand for the pack's own."""
    folder = tmp_path / "pack"
    monkeypatch.setattr(module, "weight_files", lambda of=folder / "weights": weight_files(of))
    monkeypatch.setattr(module, "JUDGES", folder / "judges")
    return folder


def trained(work: Path, weights: str, judges: str, runs: str = "out") -> tuple[Path, Path]:
    """Write what the stages of one plan write; each file says which plan it is of."""
    folders = work / runs / "base", work / runs / "reward"
    config = load_recipe(recipe_file("mini_reward"), {"models.weights": work / weights})
    for folder, names in zip(folders, ((FLUX,), (LORA, MATCHING)), strict=True):
        folder.mkdir(parents=True)
        for name in names:
            write_safetensors(folder / name, {runs: torch.zeros(1)}, {"uso.config": shareable(config)})
    for folder, names in ((work / weights, NAMES.values()), (work / judges, FILES.values())):
        folder.mkdir(parents=True)
        for name in names:
            (folder / name).write_text(folder.name, encoding="utf-8")
    return folders


@pytest.mark.parametrize(("weights", "judges"), [("weights", "judges"), ("weights-0a1b2c3d4e", "judges-5f6071829a")])
def test_all_files_come_from_one_work_folder(weights: str, judges: str, tmp_path: Path, bundled: Path) -> None:
    base, adapters = trained(tmp_path / "work", weights, judges)
    install(tmp_path / "work", base, adapters)
    for part, path in weight_files(bundled / "weights").items():
        if part not in ("flux", "lora", "projector"):
            assert path.read_text(encoding="utf-8") == weights
    assert (bundled / "weights" / NAMES["flux"]).read_bytes() == (base / FLUX).read_bytes()
    assert (bundled / "weights" / NAMES["lora"]).read_bytes() == (adapters / LORA).read_bytes()
    assert {(bundled / "judges" / name).read_text(encoding="utf-8") for name in FILES.values()} == {judges}


def test_the_encoders_are_those_that_the_base_was_trained_with(tmp_path: Path, bundled: Path) -> None:
    work = tmp_path / "work"
    trained(work, "weights-aaaaaaaaaa", "judges-aaaaaaaaaa", runs="a")
    base, adapters = trained(work, "weights-bbbbbbbbbb", "judges-bbbbbbbbbb", runs="b")
    with pytest.raises(UserError, match=re.escape("(judges-aaaaaaaaaa, judges-bbbbbbbbbb); choose with --judges")):
        install(work, base, adapters)
    with pytest.raises(UserError, match="trained with different encoders"):
        install(work, work / "a" / "base", adapters)
    assert not bundled.exists()
    install(work, base, adapters, judges=work / "judges-bbbbbbbbbb")
    assert (bundled / "weights" / NAMES["vision"]).read_text(encoding="utf-8") == "weights-bbbbbbbbbb"


def test_nothing_is_copied_where_a_stage_is_lacking(tmp_path: Path, bundled: Path) -> None:
    base, adapters = trained(tmp_path / "work", "weights", "judges")
    (tmp_path / "work" / "weights" / NAMES["descriptor"]).unlink()
    with pytest.raises(FileNotFoundError, match=r"csd-mini\.safetensors are not there; .*uso mini train"):
        install(tmp_path / "work", base, adapters)
    shutil.rmtree(adapters)
    with pytest.raises(FileNotFoundError, match="reward are not there"):
        install(tmp_path / "work", base, adapters)
    assert not bundled.exists()


def test_older_files_tell_their_encoders_by_the_names_of_their_time(tmp_path: Path, bundled: Path) -> None:
    base, adapters = trained(tmp_path / "work", "weights", "judges")
    for path in (base / FLUX, adapters / LORA, adapters / MATCHING):
        config = json.loads(shareable(load_recipe(recipe_file("mini_reward"))))
        config["models"] = {"mini": True, "mini_weights": "weights"}
        del config["family"]
        write_safetensors(path, {"a": torch.zeros(1)}, {"uso.config": json.dumps(config)})
    install(tmp_path / "work", base, adapters)
    assert (bundled / "weights" / NAMES["flux"]).is_file()
