"""The events of a whole run, in the order in which a reader gets them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from comfyui_uso.trainer.engine import control, events, signals
from comfyui_uso.trainer.engine.crash import NotFinite
from comfyui_uso.trainer.engine.events import EVENTS
from comfyui_uso.trainer.problems import ChangedError
from comfyui_uso.trainer.train import train


@pytest.fixture
def heard(monkeypatch):
    """Open the events of this process, and return a function that closes them and returns what was written."""
    lines: list[bytes] = []
    monkeypatch.setattr(events, "EVERY", 0.0)
    monkeypatch.setattr(signals, "CONTROL", control.Control())
    EVENTS.open(lines.append)

    def told():
        EVENTS.close()
        return [json.loads(line) for line in lines]

    yield told
    EVENTS.close()


def only(found, kind):
    return [event for event in found if event["event"] == kind]


def test_a_run_from_start_to_done(recipe, tiny_encoders, heard):
    config = recipe(monitor={"samples_every": 4, "samples": 1, "sample_steps": 1}, loop={"save_every": 2})
    assert train(config, tiny_encoders) == 4
    found = heard()
    start, done = found[0], found[-1]
    assert (start["event"], start["protocol"], start["step"], start["steps"]) == ("start", 1, 0, 4)
    assert Path(start["run"]) == config.loop.run_dir and start["name"] == "run"
    assert (done["event"], done["step"], done["steps"]) == ("done", 4, 4)
    assert {(file["step"], file["part"]) for file in done["files"]} >= {(2, "own"), (4, "own"), (4, "projector")}
    paths = [file["path"] for event in [done, *only(found, "export")] for file in event["files"]]
    paths += [event["path"] for kind in ("sample", "checkpoint") for event in only(found, kind)]
    paths += only(found, "sample")[0]["pictures"]
    assert all(Path(path).is_absolute() for path in paths) and Path(paths[-1]).is_file()
    assert only(found, "step")[-1]["step"] == 4 and only(found, "step")[-1]["seconds_left"] == 0
    assert {"loss", "learning_rate", "seconds_per_step"} < only(found, "step")[0].keys()
    assert only(found, "encode")[-1]["done"] == only(found, "encode")[-1]["total"]
    assert (
        [event["step"] for event in only(found, "checkpoint")]
        == [2, 4]
        == [event["step"] for event in only(found, "export")]
    )
    sample = only(found, "sample")[0]
    assert sample["step"] == 0 and len(sample["labels"]) == len(sample["pictures"]) == 1
    assert only(found, "measure")[0]["values"].keys() >= {"sample_style"}
    assert "looking at what the recipe names" in [event["text"] for event in only(found, "phase")]


def test_a_finished_run_says_so_without_reading_its_networks(recipe, tiny_encoders, monkeypatch, caplog):
    config = recipe(loop={"save_every": 2})
    train(config, tiny_encoders)
    monkeypatch.setattr("comfyui_uso.trainer.train.build_networks", lambda *_: pytest.fail("networks are read"))
    monkeypatch.setattr("comfyui_uso.trainer.train.encode", lambda *_: pytest.fail("pictures are encoded"))
    with caplog.at_level("INFO"):
        assert train(config, tiny_encoders) == 4
    assert "all 4 steps are done and exported" in caplog.text
    with pytest.raises(ChangedError, match="began with other settings"):
        train(config.model_copy(update={"lora": config.lora.model_copy(update={"rank": 3})}), tiny_encoders)


def test_a_finished_run_without_its_export_writes_it_again(recipe, tiny_encoders, monkeypatch):
    config = recipe(loop={"epochs": 1.0, "steps": 0, "save_every": 2})
    steps = train(config, tiny_encoders)
    file = config.folder / f"run-{steps:07d}.safetensors"
    file.unlink()
    assert train(config, tiny_encoders) == steps and file.is_file()
    monkeypatch.setattr("comfyui_uso.trainer.train.build_networks", lambda *_: pytest.fail("networks are read"))
    assert train(config, tiny_encoders) == steps


def test_a_run_that_was_asked_to_stop_ends_with_a_checkpoint_and_goes_on(recipe, tiny_encoders, heard, monkeypatch):
    config = recipe(loop={"steps": 1000, "save_every": 500})
    often = EVENTS.often

    def asking(event, **values):
        often(event, **values)
        if event == "step" and values["step"] == 3:
            signals.CONTROL.ask_to_stop()

    monkeypatch.setattr(EVENTS, "often", asking)
    done = train(config, tiny_encoders)
    last = heard()[-1]
    assert done in (3, 4) and (last["event"], last["step"], last["steps"]) == ("stopped", done, 1000)
    assert last["files"][0]["step"] == done


def test_a_stop_before_the_first_step_loses_nothing(recipe, tiny_encoders, heard):
    signals.CONTROL.ask_to_stop()
    with pytest.raises(KeyboardInterrupt):
        train(recipe(), tiny_encoders)
    assert [(event["event"], event["step"]) for event in heard()] == [("start", 0), ("stopped", 0)]


def test_what_ends_a_run_has_a_kind_and_the_rows(recipe, tiny_encoders):
    train(recipe(), tiny_encoders)
    with pytest.raises(ChangedError, match="began with other settings"):
        train(recipe(lora={"rank": 2}), tiny_encoders)
    with pytest.raises(NotFinite) as caught:
        train(recipe(name="wild", loop={"learning_rate": 1e38, "clip": 1e38, "steps": 20}), tiny_encoders)
    assert caught.value.rows and (caught.value.folder / "report.json").is_file()
