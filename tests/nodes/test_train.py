"""The node that trains, with a stand-in for the trainer: what it runs, shows, returns, and says when it fails."""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import comfy.model_management
import comfy.utils
import folder_paths
import pytest
from comfyui_uso.nodes.graph.left_out import NOTHING_TO_SHOW
from comfyui_uso.nodes.train import Train
from comfyui_uso.nodes.training import command, progress
from comfyui_uso.nodes.training.sets import TrainingSet
from comfyui_uso.uso_model.errors import UserError
from PIL import Image

HERE = Path(__file__).parent
Cancelled = comfy.model_management.InterruptProcessingException


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give ComfyUI empty folders and the stand-in in the trainer's place, and return what holds them."""
    for name in ("output", "loras", "model_patches"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(folder_paths, "output_directory", str(tmp_path / "output"))
    for kind in ("loras", "model_patches"):
        monkeypatch.setitem(folder_paths.folder_names_and_paths, kind, ([str(tmp_path / kind)], {".safetensors"}))
    monkeypatch.setattr(folder_paths, "filename_list_cache", {})
    monkeypatch.setattr("comfyui_uso.nodes.train._GIVEN", {})
    (tmp_path / "fake_trainer.py").write_bytes((HERE / "fake_trainer.py").read_bytes())
    Image.new("RGB", (32, 16)).save(tmp_path / "fake_sheet.png")
    monkeypatch.setattr(command, "LAUNCHER", tmp_path / "fake_trainer.py")
    monkeypatch.setattr("comfyui_uso.nodes.training.python.NEEDED", {"json": "json"})
    monkeypatch.setattr("comfyui_uso.nodes.training.python.require_packages", lambda python: None)
    return tmp_path


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the texts that are shown under the node."""
    found: list[str] = []
    monkeypatch.setattr(progress, "show_on_node", found.append)
    monkeypatch.setattr(progress, "_EVERY", 0.0)
    return found


def made(place: Path, kind: Any = "style") -> TrainingSet:
    folder = place / "output/uso_training/sets/cats"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "manifest.jsonl").write_bytes(b"rows")
    return TrainingSet(
        name="cats", folder=folder, manifest=folder / "manifest.jsonl", kind=kind, rows=3, trigger="",
        first=folder / "1.png", digest=hashlib.sha256(b"rows").hexdigest(),
    )  # fmt: skip


def train(place: Path, how: str = "", **inputs: Any) -> Any:
    """Run the node with `toy`, which needs no files of FLUX.1."""
    return Train.execute(made(place), **{"recipe": "toy", "name": "cats", "settings": f"how={how}", **inputs}).result


def words(place: Path, name: str = "cats") -> list[str]:
    return json.loads((place / f"output/uso_training/runs/{name}/words.json").read_text())


def test_what_was_trained_is_found_by_its_name(place: Path, said: list[str]) -> None:
    lora, whole, projector, checkpoints, samples, labels, table = train(place)
    listed = folder_paths.get_filename_list("loras")
    assert lora == os.path.join("uso", "cats-0000004.safetensors") and lora in listed
    assert whole == os.path.join("uso", "cats-0000004-with-uso.safetensors") and whole in listed
    assert projector in folder_paths.get_filename_list("model_patches") and "projector" not in " ".join(listed)
    assert checkpoints == [os.path.join("uso", f"cats-000000{step}.safetensors") for step in (2, 4)]
    assert sorted(listed) == sorted([*checkpoints, whole]), "the whole LoRA is kept of the newest step alone"
    assert [one.shape for one in samples] == [(1, 16, 32, 3)] * 2 and labels == ["step 2", "step 4"]
    assert "2     0.5000  " in table and "a note" in table
    assert any("step 2 of 4, loss 0.5000, rate 1.00e-04, 0.10 s a step, 0:00:09 left" in text for text in said[:-1])
    assert said[-1].startswith("cats: 4 steps are done")
    log = (place / "output/uso_training/logs/cats.log").read_text()
    assert "the log of a library" in log and "no event at all" in log


def test_the_command_line(place: Path) -> None:
    train(
        place, steps=6, rank=8, size=64, learning_rate=0.001, save_every=3, seed=7, sample_prompts="a cat\n\na \"dog\"",
        settings="# a note\nlora.alpha = 4\n",
    )  # fmt: skip
    given = words(place)
    assert given[:3] == ["train", "--progress", "json"] and given[3].endswith("toy.yaml")
    settings = dict(word.split("=", 1) for word in given[4:])
    run = place / "output/uso_training/runs/cats"
    prompts = json.loads(settings.pop("monitor.prompts"))
    assert [one["prompt"] for one in prompts] == ["a cat", 'a "dog"'] and prompts[0]["style"] == [
        str(made(place).first)
    ]
    assert settings == {
        "data": str(made(place).manifest),
        "data.cache": str(place / "output/uso_training/cache"),
        "loop.run_dir": str(run),
        "out": str(run / "out"),
        "loop.loggers": "[]",
        "loop.steps": "6",
        "lora.rank": "8",
        "data.size": "64",
        "loop.learning_rate": "0.001",
        "loop.save_every": "3",
        "monitor.samples_every": "3",
        "loop.seed": "7",
        "lora.alpha": "4",
    }


def test_progress_and_previews(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(
        comfy.utils, "PROGRESS_BAR_HOOK", lambda done, total, preview, node_id: seen.append((done, total, preview))
    )
    train(place)
    assert (1, 2, None) in seen and seen[-1][:2] == (4, 4)
    previews = [preview for *_, preview in seen if preview is not None]
    assert len(previews) == 2 and previews[0][1].size == (32, 16)


def cancelling(when: Callable[[], bool], times: int = 1) -> threading.Thread:
    """Cancel as ComfyUI's button does, once something is so, and again after it was heard."""

    def press() -> None:
        for _ in range(times):
            while not when() or comfy.model_management.processing_interrupted():
                time.sleep(0.01)
            comfy.model_management.interrupt_current_processing()

    thread = threading.Thread(target=press, daemon=True)
    thread.start()
    return thread


def test_cancel_stops_with_a_checkpoint_and_the_same_graph_goes_on(place: Path, said: list[str]) -> None:
    run = place / "output/uso_training/runs/cats"
    cancelling(lambda: (run / "checkpoint.txt").exists())
    with pytest.raises(Cancelled):
        train(place, "slow", steps=200)
    stopped = int((run / "checkpoint.txt").read_text())
    assert 2 <= stopped < 200
    assert said[-1].startswith(f"cats stopped after step {stopped} of 200 with a checkpoint: queue again to go on")
    assert f"cats-{stopped:07d}.safetensors" in " ".join(folder_paths.get_filename_list("loras"))
    assert not comfy.model_management.processing_interrupted()
    assert train(place, steps=stopped + 2)[0].endswith(f"cats-{stopped + 2:07d}.safetensors")


def test_a_second_cancel_ends_a_trainer_that_does_not_listen(place: Path, said: list[str]) -> None:
    run = place / "output/uso_training/runs/cats"
    cancelling(lambda: (run / "checkpoint.txt").exists(), times=2)
    with pytest.raises(Cancelled):
        train(place, "deaf", steps=10_000)
    assert "Cancelled again: ended at once" in said[-1] and "what is on the disk stays" in said[-1]


@pytest.mark.parametrize(
    ("how", "sentences"),
    [
        ("held", ["is being trained by process 7; wait until that ends"]),
        ("dies", ["The trainer ended by signal 9 before its first step", "about to be killed", "cats.log"]),
        ("crashes", ["the loss is not finite", "Rows: cats/1, cats/2.", "crash/step-3", "Traceback: something"]),
    ],
)
def test_a_trainer_that_fails_says_why(place: Path, how: str, sentences: list[str]) -> None:
    with pytest.raises(UserError) as error:
        train(place, how)
    assert [sentence for sentence in sentences if sentence not in str(error.value)] == []
    assert ("Last lines" in str(error.value)) == (how != "held")


def test_a_name_that_exists_with_other_settings(place: Path) -> None:
    train(place, rank=4)
    assert train(place, rank=4)[0].endswith("cats-0000004.safetensors"), "the same settings go on"
    with pytest.raises(UserError, match="cats began with other settings"):
        train(place, rank=8)
    assert train(place, rank=8, if_changed="new name")[0].endswith("cats-2-0000004.safetensors")
    assert train(place, rank=8, if_changed="new name")[0].endswith("cats-2-0000004.safetensors")
    assert train(place, rank=16, if_changed="new name")[0].endswith("cats-3-0000004.safetensors")
    assert "--allow-change" not in words(place)
    assert train(place, rank=8, if_changed="go on")[0].endswith("cats-0000004.safetensors")
    assert "--allow-change" in words(place)


def test_files_of_another_run_are_not_replaced(place: Path) -> None:
    train(place)
    run = place / "output/uso_training/runs/cats"
    run.rename(run.with_name("elsewhere"))
    before = {path: path.stat().st_ino for path in (place / "loras/uso").iterdir()}
    with pytest.raises(UserError, match="Got the name 'cats', which another training has given"):
        train(place)
    assert {path: path.stat().st_ino for path in (place / "loras/uso").iterdir()} == before and not run.exists()
    assert train(place, if_changed="new name")[0].endswith("cats-2-0000004.safetensors")


def test_a_loud_trainer_fills_no_pipe(place: Path) -> None:
    assert train(place, "floods", steps=40)[0].endswith("cats-0000040.safetensors")


def test_a_full_disk_is_one_sentence_and_loses_nothing(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: Any) -> None:
        raise OSError(28, "No space left on device")

    sentence = r"'cats' is done, .*cats-0000002.*\.safetensors cannot be written .*; make room on the disk, then queue"
    with monkeypatch.context() as patch:
        patch.setattr("comfyui_uso.nodes.training.results._copy", full)
        with pytest.raises(UserError, match=sentence):
            train(place)
    assert (place / "output/uso_training/runs/cats/out/cats-0000004.safetensors").is_file()
    assert train(place)[0].endswith("cats-0000004.safetensors")


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({"settings": "lora.alpha"}, "Got the setting 'lora.alpha', expected name=value"),
        ({"settings": "--debug=1"}, "expected name=value"),
        ({"settings": "loop.run_dir=/elsewhere"}, "follows from the node's inputs"),
        ({"settings": "out=elsewhere"}, "follows from the node's inputs"),
        ({"settings": "loop={run_dir: /elsewhere}"}, "'loop', a section of which a part follows from the node's"),
        ({"name": "a:b"}, "Got the name 'a:b' for a run"),
        ({"name": " "}, "expected letters or digits"),
        ({"recipe": "absent.yaml"}, "Got recipe = absent.yaml, expected one of"),
        ({"python": "python"}, "expected the full path of a Python"),
        ({"steps": -1}, "Got steps = -1"),
    ],
)
def test_wrong_inputs(place: Path, inputs: Any, said: str) -> None:
    with pytest.raises(UserError, match=said):
        train(place, **inputs)
    assert [path.name for path in (place / "output/uso_training").iterdir()] == ["sets"]


def test_models_leave_the_card_before_the_trainer_starts(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []

    def start(*args: Any) -> None:
        order.append("start")
        raise OSError("enough")

    monkeypatch.setattr(comfy.model_management, "unload_all_models", lambda: order.append("unload"))
    monkeypatch.setattr(comfy.model_management, "soft_empty_cache", lambda: order.append("empty"))
    monkeypatch.setattr(
        "comfyui_uso.nodes.training.session.Process",
        start,
    )
    with pytest.raises(OSError, match="enough"):
        train(place)
    assert order == ["unload", "empty", "start"]


def test_an_own_recipe_is_offered(place: Path) -> None:
    folder = place / "output/uso_training/recipes"
    folder.mkdir(parents=True)
    (folder / "mine.yaml").write_text("family: comfyui_uso.mini.family:USO_MINI\n")
    assert Train.validate_inputs(recipe="mine.yaml") is True and "expected one of" in str(
        Train.validate_inputs(recipe="x")
    )
    train(place, recipe="mine.yaml")
    assert words(place)[3] == str(folder / "mine.yaml")


def test_what_is_not_there_goes_nowhere(place: Path) -> None:
    done = train(place, "projector")
    assert done[:2] == (NOTHING_TO_SHOW,) * 2 and done[2].endswith("cats-0000004-projector.safetensors")
    assert done[3] == [NOTHING_TO_SHOW]


def test_the_page_draws_no_seed_by_itself() -> None:
    """It adds its own control to any input of that name which does not say no, and so each Run would be another."""
    assert Train.INPUT_TYPES()["optional"]["seed"][1]["control_after_generate"] is False
