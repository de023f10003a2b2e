"""Which files a run leaves for ComfyUI, what they are called, and what is said of them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from comfyui_uso.trainer.engine.checkpoint import latest
from comfyui_uso.trainer.export.files import CHECKPOINT
from comfyui_uso.trainer.export.names import (
    OWN,
    PROJECTOR,
    WITH_START,
    WITH_USO,
    exported,
    file_name,
    meant,
    newest,
    newest_lora,
)
from comfyui_uso.trainer.export.run import export_run
from comfyui_uso.trainer.train import train
from comfyui_uso.uso_model import writing
from comfyui_uso.uso_model.checkpoints import (
    Lora,
    read_lora,
    read_metadata,
    read_safetensors,
    write_diffusion_model_lora,
    write_safetensors,
)
from comfyui_uso.uso_model.checkpoints.marks import beside
from comfyui_uso.uso_model.errors import UserError


@pytest.fixture
def added(recipe, tiny_encoders, tmp_path):
    """Return a function that makes the recipe of a rank that is trained beside a published LoRA."""
    first = recipe(name="published", loop={"steps": 1})
    train(first, tiny_encoders)
    published = tmp_path / "uso.safetensors"
    shutil.copy(newest(first.folder, OWN), published)

    def make(**loop):
        changes = {"lora": {"rank": 2, "start": "add"}, "models": {"lora": published}}
        return recipe(name="ghibli", out=None, loop={"steps": 3, "save_every": 1, **loop}, **changes)

    return make


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_was_trained_is_kept_and_what_is_large_only_of_the_last(added, tiny_encoders, caplog):
    caplog.set_level("INFO")
    config = added()
    train(config, tiny_encoders)
    own = [file_name("ghibli", step, OWN) for step in (1, 2, 3)]
    last = [file_name("ghibli", 3, part) for part in (PROJECTOR, WITH_USO)]
    assert names(config.folder) == sorted([*own, *last])
    ranks = [{part.rank for part in read_lora(config.folder / name).modules.values()} for name in (own[2], last[1])]
    parts = [read_metadata(config.folder / name)["uso.part"] for name in (own[2], last[1])]
    assert ranks == [{2}, {6}] and parts == ["own", "with-uso"]
    assert (
        "put ghibli-0000003.safetensors (models/loras) on the model of USO Load Mini with LoraLoaderModelOnly"
        in caplog.text
    )
    assert "ghibli-0000003-with-uso.safetensors as the LoRA of USO Load Mini: it contains USO's" in caplog.text


def test_a_lora_that_is_not_usos_is_called_what_it_is(added, tiny_encoders, tmp_path, caplog):
    caplog.set_level("INFO")
    published = read_lora(tmp_path / "uso.safetensors")
    some = Lora({name: part for name, part in published.modules.items() if "linear2" not in name})
    write_diffusion_model_lora(tmp_path / "uso.safetensors", some)
    config = added(steps=1)
    train(config, tiny_encoders)
    own, whole = (file_name("ghibli", 1, part) for part in (OWN, WITH_START))
    assert names(config.folder) == sorted([own, whole, file_name("ghibli", 1, PROJECTOR)])
    marks = [read_metadata(config.folder / name) for name in (own, whole)]
    assert [one["uso.part"] for one in marks] == [
        "own",
        "with-start",
    ] and whole == "ghibli-0000001-with-start.safetensors"
    assert beside(marks[0]) == "uso.safetensors" and beside(marks[1]) is None
    told = export_run(config.loop.run_dir, parts="with-uso")
    for text in (caplog.text, told):
        assert "contains USO's" not in text and f"{whole} there alone: it contains the LoRA that the run began" in text
    assert "beside uso.safetensors, which is not USO's" in caplog.text
    assert newest_lora(config.folder).name == whole
    assert train(added(steps=2), tiny_encoders) == 2 and (config.folder / file_name("ghibli", 2, WITH_START)).is_file()
    assert "ghibli-0000001-with-start.safetensors" in names(config.folder), "it was asked for"


def test_an_earlier_step_is_exported_when_asked_for_and_stays(added, tiny_encoders):
    config = added(keep=1)
    train(config, tiny_encoders)
    assert not (config.loop.run_dir / "checkpoint-0000001" / "optimizer.pt").exists()
    told = export_run(config.loop.run_dir, step=1, parts="with-uso")
    assert "step 1 of ghibli" in told and "choose ghibli-0000001-with-uso.safetensors" in told
    train(added(keep=1, steps=4), tiny_encoders)
    steps = {part: [file.step for file in exported(config.folder) if file.part == part] for part in (OWN, WITH_USO)}
    assert steps == {OWN: [1, 2, 3, 4], WITH_USO: [1, 4]}


def test_a_whole_lora_has_no_part_with_another(recipe, tiny_encoders):
    config = recipe(loop={"steps": 1})
    train(config, tiny_encoders)
    assert "uso.part" not in read_metadata(newest(config.folder, OWN))
    with pytest.raises(UserError, match="has no part with USO"):
        export_run(config.loop.run_dir, parts="with-uso")
    assert "in the place of USO's and not beside it" in export_run(config.loop.run_dir, parts="own")


@pytest.mark.parametrize("lost", ["one file", "both", "of other weights"])
def test_a_kill_between_checkpoint_and_export_is_made_good(lost, recipe, tiny_encoders):
    config = recipe(loop={"steps": 2}, train_projector=True)
    train(config, tiny_encoders)
    own, projector = (config.folder / file_name("run", 2, part) for part in (OWN, PROJECTOR))
    before = [path.read_bytes() for path in (own, projector)]
    if lost in ("one file", "both"):
        projector.unlink()
    if lost == "both":
        own.unlink()
    elif lost == "of other weights":
        write_safetensors(own, read_all(own), {**read_metadata(own), CHECKPOINT: "0" * 64})
    train(config, tiny_encoders)
    found = latest(config.loop.run_dir).digest(True)
    assert [read_metadata(path)[CHECKPOINT] for path in (own, projector)] == [found, found]
    assert read_lora(own).modules.keys() and projector.stat().st_size == len(before[1])
    kept = own.stat().st_mtime_ns
    train(config, tiny_encoders)
    assert own.stat().st_mtime_ns == kept, "what is whole is not written again"


def read_all(path):
    return {name: tensor.clone() for name, tensor in read_safetensors(path).items()}


def test_a_file_that_comfyui_has_mapped_is_written_under_another_name(recipe, tiny_encoders, monkeypatch, caplog):
    config = recipe(loop={"steps": 1})
    train(config, tiny_encoders)
    mapped, replace = config.folder / file_name("run", 1, OWN), os.replace

    def denied(source, target):
        if Path(target) == mapped:
            raise PermissionError(13, "Access is denied", str(target))
        return replace(source, target)

    pauses: list[float] = []
    monkeypatch.setattr(writing.os, "replace", denied)
    monkeypatch.setattr(writing.time, "sleep", pauses.append)
    told = export_run(config.loop.run_dir)
    assert "run-0000001-2.safetensors" in told and "it is written under another name" in caplog.text
    assert newest(config.folder, OWN).name == "run-0000001-2.safetensors" and sum(pauses) > 2
    assert not list(config.folder.glob(".*"))


def test_an_older_file_that_is_held_stays_and_goes_with_the_next_export(added, tiny_encoders, monkeypatch, caplog):
    config, unlink, pauses = added(steps=2), Path.unlink, []
    older = config.folder / file_name("ghibli", 1, WITH_USO)

    def held(path, missing_ok=False):
        if path == older:
            raise PermissionError(13, "Access is denied", str(path))
        unlink(path, missing_ok=missing_ok)

    monkeypatch.setattr(writing.time, "sleep", pauses.append)
    monkeypatch.setattr(Path, "unlink", held)
    train(config, tiny_encoders)
    assert f"{older} is of an older step and cannot be removed (Access is denied)" in caplog.text and sum(pauses) > 2
    assert older.is_file() and newest_lora(config.folder).name == file_name("ghibli", 2, WITH_USO)
    monkeypatch.setattr(Path, "unlink", unlink)
    train(added(steps=3), tiny_encoders)
    assert not older.exists()


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), PermissionError(1, "Operation not permitted")]
)
def test_an_export_that_fails_ends_no_run(error, recipe, tiny_encoders, monkeypatch, caplog):
    config = recipe(out=None, loop={"steps": 2, "save_every": 1})
    replace = os.replace

    def full(source, target):
        if Path(target).parent == config.folder:
            raise error
        return replace(source, target)

    monkeypatch.setattr(writing.os, "replace", full)
    monkeypatch.setattr(writing.time, "sleep", lambda seconds: None)
    assert train(config, tiny_encoders) == 2
    assert f"Export it later with `uso export {config.loop.run_dir} --step 1`." in caplog.text
    monkeypatch.undo()
    assert "step 1 of run" in export_run(config.loop.run_dir, step=1)
    assert names(config.folder) == ["run-0000001-projector.safetensors", "run-0000001.safetensors"]


def test_a_folder_stands_for_the_newest_file_in_it(tmp_path):
    out = tmp_path / "stage1" / "out"
    out.mkdir(parents=True)
    assert newest(out, OWN) is None and meant(out, "projector") == out
    (out / "projector.safetensors").touch()
    assert meant(out, "projector") == meant(out / "projector.safetensors", "projector") == out / "projector.safetensors"
    (out / "projector.safetensors").unlink()
    for step in (9_999_999, 10_000_000):
        for part in (OWN, PROJECTOR):
            (out / file_name("stage1", step, part)).touch()
    expected = out / "stage1-10000000-projector.safetensors"
    assert all(meant(path, "projector") == expected for path in (out, out.parent, out / "projector.safetensors"))
    assert meant(out, "lora").name == "stage1-10000000.safetensors"
    assert meant(out / "absent.safetensors", "lora") == out / "absent.safetensors"
    (out / file_name("stage1", 10_000_000, WITH_USO)).touch()
    assert meant(out, "lora").name == "stage1-10000000-with-uso.safetensors"


def test_of_several_runs_in_a_folder_the_file_has_to_be_named(tmp_path):
    for run in ("a", "b"):
        (tmp_path / file_name(run, 1, OWN)).touch()
    with pytest.raises(UserError, match=r"holds files of several runs \(a, b\); name the file itself"):
        newest(tmp_path, OWN)
