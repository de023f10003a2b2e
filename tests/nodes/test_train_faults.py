"""The node that trains, when something goes wrong around it: a full disk, Cancel at a bad time, a trainer gone mad."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import comfy.model_management
import folder_paths
import pytest
from comfyui_uso.nodes.training import process as processes
from comfyui_uso.nodes.training.command import prompt_setting
from comfyui_uso.nodes.training.process import Event, Process
from comfyui_uso.nodes.training.progress import Progress
from comfyui_uso.nodes.training.run import follow
from comfyui_uso.trainer.problems import ChangedError
from comfyui_uso.trainer.reading.yaml_text import parse_yaml
from comfyui_uso.uso_model.errors import UserError

from . import test_train
from .test_train import Cancelled, made, train

place, said = test_train.place, test_train.said


class Told:
    """A process that has told its events and ended."""

    log = Path("cats.log")

    def __init__(self, *events: Event):
        self.events = list(events)

    def ended(self) -> bool:
        return not self.events

    def event(self, seconds: float) -> Event:
        return self.events.pop(0)

    def stop(self) -> None:
        pass

    def code(self) -> int:
        return 1

    def last_lines(self, most: int) -> list[str]:
        return []


def nothing() -> None:
    """Put nothing in place."""


def full() -> None:
    """Put nothing in place, as there is no room for it."""
    raise OSError("loras/uso/cats.safetensors cannot be written (No space left on device); make room on the disk")


def followed(*events: Event, exported: Callable[[], None] = nothing) -> Event:
    return follow(Told(*events), Progress("cats"), exported)  # type: ignore[arg-type]


STEP: Event = {"event": "step", "step": 3, "steps": 10}


@pytest.mark.parametrize("exported", [nothing, full])
def test_cancel_hides_no_error(exported: Callable[[], None], said: list[str]) -> None:
    comfy.model_management.interrupt_current_processing()
    with pytest.raises(UserError, match="the disk is full"):
        followed(STEP, {"event": "error", "text": "the disk is full", "kind": "user"}, exported=exported)


@pytest.mark.parametrize("exported", [nothing, full])
def test_cancel_in_the_last_save_is_heard(exported: Callable[[], None], said: list[str]) -> None:
    comfy.model_management.interrupt_current_processing()
    with pytest.raises(Cancelled):
        followed(STEP, {"event": "done", "step": 10, "steps": 10}, exported=exported)
    assert "cancelled, and all steps are done: queue again" in said[-1]


@pytest.mark.parametrize(
    ("events", "kind", "sentence"),
    [
        ([{"event": "error", "text": "not finite", "rows": ["a/1"], "crash": "crash/3"}], UserError, r"a/1\..*crash/3"),
        ([{"event": "error", "text": "other settings", "kind": "changed"}], ChangedError, "^other settings$"),
        ([{"event": "stopped", "step": 3}], UserError, "was stopped from outside"),
        ([], UserError, "ended with code 1"),
        ([{"event": "done"}], UserError, r"^The training 'cats' is done, .*uso/cats.* make room .*, then queue again"),
    ],
)
def test_a_full_drive_of_models_hides_no_error(
    events: list[Event], kind: type[Exception], sentence: str, said: list[str]
) -> None:
    with pytest.raises(UserError, match=sentence) as caught:
        followed(STEP, *events, exported=full)
    assert type(caught.value) is kind


def test_a_new_name_is_found_while_the_drive_of_models_is_full(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train(place, rank=4)
    monkeypatch.setattr("comfyui_uso.nodes.training.results._place", lambda file: full())
    with pytest.raises(UserError, match="'cats-2' is done, but"):
        train(place, rank=8, if_changed="new name")


def test_a_folder_of_models_that_cannot_be_looked_into_is_one_sentence(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(path: Path, other: object) -> bool:
        raise OSError(5, "Input/output error")

    train(place)
    monkeypatch.setattr(Path, "samefile", gone)
    with pytest.raises(UserError, match=r"'cats' is done, .*/uso/cats-0000002.*safetensors cannot be written"):
        train(place)


def test_the_step_of_the_end_is_told_and_no_lines_that_are_not_there(said: list[str]) -> None:
    with pytest.raises(UserError, match="stopped from outside after step 7 of 10"):
        followed(STEP, {"event": "stopped", "step": 7, "steps": 10})
    with pytest.raises(UserError, match=r"with code 1 after step 3 of 10 and said no reason: queue again [^:]*\.$"):
        followed(STEP)


def test_events_that_cannot_be_used_end_nothing(said: list[str]) -> None:
    odd = [float("inf"), float("nan"), 10**400, "\0", "\ud83d", [], None, {"a": 10**400}]
    keys = ("step", "steps", "done", "total", "loss", "seconds_left", "path", "text", "values")
    kinds = ("start", "phase", "encode", "step", "sample", "measure", "checkpoint", "warning")
    events = [{"event": kind, **dict.fromkeys(keys, value)} for kind in kinds for value in odd]
    done = {"event": "done", "step": 10}
    assert followed(*events, STEP, done) is done
    assert said[-1].startswith("cats: step 3 of 10") and "\n".join(said).encode()


def listened(tmp_path: Path, script: str) -> tuple[list[Event], Process]:
    with Process([sys.executable, "-c", script], tmp_path, tmp_path / "x.log") as process:
        for reader in process._readers:  # so that all that it says waits here
            reader.join()
        events = []
        while not process.ended():
            if event := process.event(0.2):
                events.append(event)
    return events, process


def test_output_without_an_end_fills_no_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "_WAITING", 3)
    script = (
        "import sys; sys.stderr.write('x' * 5_000_000); sys.stdout.write('[' * 100_000 + '\\n');"
        '[print(\'{"event": "step", "step": 1e999}\') for _ in range(9)]; print(\'{"event": "done"}\')'
    )
    events, process = listened(tmp_path, script)
    assert len(events) == 3 and events[-1] == {"event": "done"}
    assert sorted(process.last_lines(9)) == ["[" * 2000, "x" * 2000]
    assert (tmp_path / "x.log").stat().st_size == 4002


def test_a_log_has_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "_MOST_LOG", 20)
    _, process = listened(tmp_path, "for n in range(9): print('line', n)")
    assert (tmp_path / "x.log").read_text().splitlines()[2:] == ["The log is too long: what follows is left out"]
    assert process.last_lines(1) == ["line 8"]


def test_a_run_without_its_last_files_is_no_success(place: Path) -> None:
    with pytest.raises(UserError, match="has none, expected the files of step 4: make room on the disk, then queue"):
        train(place, "nothing")


def test_a_folder_that_cannot_be_written_to_is_known_before_training(place: Path) -> None:
    (place / "loras/uso").write_text("in the way")
    with pytest.raises(UserError, match=r"loras/uso cannot be written to \(File exists\)"):
        train(place)
    assert not (place / "output/uso_training/runs").exists()


def test_of_several_folders_for_loras_the_first_takes_them(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = place / "other drive" / "uso" / "cats-0000004.safetensors"
    other.parent.mkdir(parents=True)
    other.write_bytes(b"of somebody else")
    folders = [str(place / "loras"), str(place / "other drive")]
    monkeypatch.setitem(folder_paths.folder_names_and_paths, "loras", (folders, {".safetensors"}))
    lora = train(place)[0]
    assert Path(str(folder_paths.get_full_path("loras", lora))) == place / "loras" / lora
    assert other.read_bytes() == b"of somebody else" and len(list(other.parent.iterdir())) == 1
    folders.reverse()  # as `is_default` of extra_model_paths.yaml does
    with pytest.raises(UserError, match="another training has given"):
        train(place)
    other.unlink()
    assert train(place)[0] == lora and other.is_file()


def test_an_older_file_that_is_held_ends_no_training_and_goes_the_next_time(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows lets nobody remove a LoRA that ComfyUI has mapped."""
    older, unlink, tried = place / "loras/uso/cats-0000002-with-uso.safetensors", Path.unlink, []

    def held(path: Path, missing_ok: bool = False) -> None:
        if path == older:
            tried.append(path)
            raise PermissionError(13, "Access is denied", str(path))
        unlink(path, missing_ok=missing_ok)

    train(place, steps=2)
    monkeypatch.setattr(Path, "unlink", held)
    _, whole, *_, table = train(place)
    assert whole.endswith("cats-0000004-with-uso.safetensors") and older.is_file()
    assert len(tried) == 2, "once for an export and once at the end: Cancel is not heard meanwhile"
    assert table.count(f"{older} is of an older step and cannot be removed (Access is denied): it is tried again") == 1
    monkeypatch.setattr(Path, "unlink", unlink)
    assert train(place)[1] == whole and not older.exists()


def test_a_damaged_sheet_takes_no_lora_away(place: Path) -> None:
    train(place)
    (place / "output/uso_training/runs/cats/samples/step-0000002.png").write_bytes(b"\x89PNG")
    lora, _, _, _, samples, labels, table = train(place)
    assert lora.endswith("cats-0000004.safetensors") and len(samples) == 1 and labels == ["step 4"]
    assert "the samples of step 2 are left out: " in table


def test_a_prompt_may_hold_any_character(tmp_path: Path) -> None:
    text: Any = prompt_setting('\U0001f600 \u00e9 \x7f "\\ud83d" \ud83d\n', made(tmp_path))
    assert text.isascii()
    assert parse_yaml(text)[0]["prompt"] == '\U0001f600 \u00e9 \x7f "\\ud83d" ?'
    assert json.loads(prompt_setting("a cat", made(tmp_path)) or "")[0]["prompt"] == "a cat"
