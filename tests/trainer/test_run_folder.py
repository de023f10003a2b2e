"""A run's folder may be moved, copied and renamed: whoever is given it acts on it, and on no other run's files."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml
from comfyui_uso import cli
from comfyui_uso.trainer import run_folder
from comfyui_uso.trainer.data.manifest import read_manifest, write_manifest
from comfyui_uso.trainer.doctor import diagnose
from comfyui_uso.trainer.engine.checkpoint import latest
from comfyui_uso.trainer.export.names import OWN, file_name, newest
from comfyui_uso.trainer.export.run import export_run, require_own_files
from comfyui_uso.trainer.recipe import TrainConfig
from comfyui_uso.trainer.run_folder import CONFIG, open_recipe, read_run, require_unchanged, run_id
from comfyui_uso.trainer.train import encode, train, training_data
from comfyui_uso.uso_model.checkpoints import read_lora, read_metadata, read_safetensors, write_safetensors
from comfyui_uso.uso_model.errors import UserError

OLD_RUN = Path(__file__).parents[1] / "data" / "old" / "run"
"""Written by version 0.1.0: absolute paths, and settings under their older names."""


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def trained(recipe: Callable[..., TrainConfig], tiny_encoders, tmp_path: Path) -> TrainConfig:
    """Return the recipe of a run of two steps whose files lie in its folder."""
    config = recipe(name="runs/first", out=None, loop={"steps": 2})
    train(config, tiny_encoders)
    return config


def test_files_go_into_the_run_and_its_settings_name_no_place(trained: TrainConfig, tmp_path: Path) -> None:
    assert (trained.loop.run_dir / "out" / "first-0000002.safetensors").is_file()
    kept = yaml.safe_load((trained.loop.run_dir / CONFIG).read_text(encoding="utf-8"))
    assert kept["loop"]["run_dir"] == "." and kept["out"] is None
    inside = recipe_inside(trained)
    assert str(trained.loop.run_dir) not in json.dumps(inside)


def recipe_inside(config: TrainConfig) -> dict:
    return yaml.safe_load((config.loop.run_dir / CONFIG).read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", ["second", "toy #2", "toy: b", "with space", "[1]", "none"])
@pytest.mark.parametrize("how", [shutil.copytree, shutil.move])
def test_the_folder_that_is_named_is_the_one_that_is_trained(how, name, trained, tiny_encoders) -> None:
    first = trained.loop.run_dir
    before = {path: digest(path) for path in first.rglob("*") if path.is_file()}
    place = first.parent / name
    how(first, place)
    config = read_run(place, ["loop.steps=3"])
    assert config.loop.run_dir == place and config.folder == place / "out"
    assert train(config, tiny_encoders) == 3
    assert latest(place).step == 3 and read_metadata(place / "out" / file_name(place.name, 3, OWN))["uso.step"] == "3"
    if how is shutil.copytree:
        assert {path: digest(path) for path in first.rglob("*") if path.is_file()} == before
    else:
        assert not first.exists(), "nothing is written to where the run once was"
    assert str(place / "out") in export_run(place)


def test_a_setting_of_a_run_given_anew_is_relative_to_the_working_folder(trained, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert read_run(trained.loop.run_dir, ["out=elsewhere"]).folder == Path("elsewhere")


def test_an_export_never_replaces_a_file_of_another_run(recipe, tiny_encoders, tmp_path) -> None:
    """Refused before anything is encoded, and by `uso export`; the run that wrote it goes on."""
    shared = tmp_path / "loras"
    one, two = (recipe(name=name, out=shared, loop={"steps": 2}) for name in ("one/ghibli", "two/ghibli"))
    train(one, tiny_encoders)
    file = shared / "ghibli-0000002.safetensors"
    before = digest(file)
    with pytest.raises(
        UserError, match=r"ghibli-0000002\S*\.safetensors is there and was not written by the run ghibli"
    ):
        train(two, tiny_encoders)
    assert not (two.loop.run_dir / CONFIG).exists() and digest(file) == before
    assert train(recipe(name="one/ghibli", out=shared, loop={"steps": 3}), tiny_encoders) == 3
    assert (shared / "ghibli-0000003.safetensors").is_file() and digest(file) == before
    shutil.copytree(one.loop.run_dir, tmp_path / "copy/ghibli")
    with pytest.raises(UserError, match="was not written by the run ghibli"):
        export_run(tmp_path / "copy/ghibli")
    one.loop.run_dir.rename(tmp_path / "renamed")
    export_run(tmp_path / "renamed")
    assert (shared / "renamed-0000003.safetensors").is_file()


def test_a_file_of_nobody_is_not_replaced_either(recipe, tmp_path) -> None:
    config = recipe(out=tmp_path / "loras")
    require_own_files(config)
    (tmp_path / "loras").mkdir()
    (tmp_path / "loras" / file_name("run", 7, OWN)).write_bytes(b"something dear")
    with pytest.raises(UserError, match="name another folder with `out`"):
        require_own_files(config)


def test_a_copy_becomes_a_run_of_its_own_and_a_renamed_folder_stays_what_it_was(tmp_path) -> None:
    (tmp_path / "a").mkdir()
    name = run_id(tmp_path / "a")
    assert run_id(tmp_path / "a") == name
    (tmp_path / "a").rename(tmp_path / "b")
    assert run_id(tmp_path / "b") == name
    shutil.copytree(tmp_path / "b", tmp_path / "c")
    assert run_id(tmp_path / "c") != name and run_id(tmp_path / "b") == name


def test_data_that_has_changed_is_refused(trained, tiny_encoders, manifest) -> None:
    rows = read_manifest(manifest)
    write_manifest(rows[:4], manifest)
    longer = read_run(trained.loop.run_dir, ["loop.steps=3"])
    with pytest.raises(UserError, match="began with other data"):
        train(longer, tiny_encoders)
    assert train(longer, tiny_encoders, allow_change=True) == 3


def test_data_and_models_that_only_moved_go_on(recipe, tiny_encoders, tmp_path) -> None:
    config = recipe(loop={"steps": 2})
    train(config, tiny_encoders)
    place = tmp_path / "elsewhere"
    place.mkdir()
    for path in [*tmp_path.glob("*.png"), *tmp_path.glob("*.jsonl"), *tmp_path.glob("*.safetensors")]:
        path.rename(place / path.name)
    moved = [f"data.manifests={place / 'manifest.jsonl'}", f"models.transformer={place / 'base.safetensors'}"]
    moved += [f"models.projector={place / 'projector.safetensors'}", "loop.steps=3"]
    assert train(read_run(config.loop.run_dir, moved), tiny_encoders) == 3
    other = {name: tensor + 1 for name, tensor in read_safetensors(place / "base.safetensors").items()}
    write_safetensors(place / "base.safetensors", other)
    with pytest.raises(UserError, match=r"models\.transformer holds something else by now"):
        train(read_run(config.loop.run_dir, ["loop.steps=4"]), tiny_encoders)


@pytest.mark.parametrize(
    ("name", "content"),
    [("data.json", "[]"), ("data.json", ""), ("data.json", '{"a": 1}'), (CONFIG, "- 1"), (CONFIG, "[" * 3000)],
)
def test_damaged_files_of_a_run_are_one_sentence(name, content, trained) -> None:
    (trained.loop.run_dir / name).write_text(content, encoding="utf-8")
    with pytest.raises(UserError):
        export_run(trained.loop.run_dir)


def test_a_damaged_file_that_can_be_made_again_says_so(trained, tiny_encoders) -> None:
    """What the message says to do helps."""
    folder = trained.loop.run_dir
    for name in ("data.json", "models.json", "run.json"):
        (folder / name).write_text("{", encoding="utf-8")
        with pytest.raises(UserError, match=rf"{name} is damaged; remove it: "):
            train(read_run(folder, ["loop.steps=3"]), tiny_encoders)
        (folder / name).unlink()
    with pytest.raises(UserError, match=r"data\.json is not there; go on with `uso train "):
        export_run(folder)
    assert train(read_run(folder, ["loop.steps=3"]), tiny_encoders) == 3
    assert "step 3" in export_run(folder)


def test_what_saves_memory_may_change(trained: TrainConfig) -> None:
    """A run that memory ran out for goes on with the settings that the message names; gradients stay the same."""
    less = {"memory": trained.memory.model_copy(update={"blocks_to_swap": 1, "checkpointing": True})}
    less["monitor"] = trained.monitor.model_copy(update={"samples_every": 7})
    require_unchanged(trained.model_copy(update=less))


def test_processes_share_the_encoding_and_skip_what_another_has_made(recipe, tiny_encoders) -> None:
    config = recipe()
    asked: list[list[str]] = []

    def encoders(own: list[str]):
        from dataclasses import replace

        def latent(picture):
            own.append("latent")
            return tiny_encoders.latent(picture)

        return replace(tiny_encoders, latent=latent)

    for begin in (0.5, 0.0):  # the second comes when the first has made all
        asked.append([])
        encode(training_data(config, encoders(asked[-1])), begin)
    assert len(asked[0]) == 16 and asked[1] == []


def test_a_run_of_the_first_version_goes_on(tmp_path, tiny_encoders, tiny_files, capsys) -> None:
    place = tmp_path / "moved"
    shutil.copytree(OLD_RUN, place)
    shutil.copy(tiny_files["transformer"], place)
    shutil.copy(tiny_files["projector"], place)
    config = read_run(place)
    assert config.loop.run_dir == place and config.folder == place / "out"
    assert (
        config.flow.timestep_sampling == "uniform_shifted" and config.models.transformer == place / "base.safetensors"
    )
    before = latest(place)
    assert before is not None and before.step == 2
    assert {part.rank for part in read_lora(newest(place / "out", OWN)).modules.values()} == {2}
    assert train(read_run(place, ["loop.steps=3"]), tiny_encoders) == 3
    assert cli.main(["export", str(place), "--step", "2", "--out", str(tmp_path / "again")]) == 0
    assert "step 2 of moved" in capsys.readouterr().out
    assert all(torch.isfinite(tensor).all() for tensor in latest(place).trained().values())


def test_the_settings_in_a_runs_folder_stand_for_the_run(trained, tmp_path, monkeypatch) -> None:
    """As with other trainers, where the YAML file in the folder is named to go on."""
    place = tmp_path / "elsewhere"
    place.mkdir()
    monkeypatch.chdir(place)
    config = open_recipe(str(trained.loop.run_dir / CONFIG), ["loop.steps=3"])
    assert config.loop.run_dir == trained.loop.run_dir and config.loop.steps == 3


def test_a_run_that_has_lost_its_checkpoints_does_not_begin_anew(trained, tiny_encoders) -> None:
    folder = trained.loop.run_dir
    before = {path: digest(path) for path in (folder / "out").iterdir()}
    for path in folder.glob("checkpoint-*"):
        shutil.rmtree(path)
    with pytest.raises(UserError, match="has trained files and no checkpoint any more"):
        train(read_run(folder), tiny_encoders)
    assert {path: digest(path) for path in (folder / "out").iterdir()} == before
    assert train(read_run(folder), tiny_encoders, allow_change=True) == 2


def test_a_run_on_read_only_media_has_a_name_all_the_same(trained, monkeypatch) -> None:
    (trained.loop.run_dir / "run.json").unlink()

    def denied(*args, **named):
        raise OSError("read-only")

    monkeypatch.setattr(run_folder, "_replace", denied)
    assert len(run_id(trained.loop.run_dir)) == 32


def test_the_doctor_says_that_no_checkpoint_can_be_gone_on_from(trained) -> None:
    for path in trained.loop.run_dir.glob("checkpoint-*/optimizer.pt"):
        path.unlink()
    assert any("none that the run can go on from" in one for one in diagnose(read_run(trained.loop.run_dir)).problems)
