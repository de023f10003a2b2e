"""Samples, logs, exports and request files may fail: the run goes on and says what failed."""

from __future__ import annotations

import json

import pytest
import torch
from comfyui_uso.trainer.engine import checkpoint
from comfyui_uso.trainer.engine import log as log_module
from comfyui_uso.trainer.engine import loop as loop_module
from comfyui_uso.trainer.engine import row_losses as rows_module
from comfyui_uso.trainer.engine.cut_back import cut_back
from comfyui_uso.trainer.engine.loop import run
from comfyui_uso.trainer.engine.loss import LossTerm, Monitor

from .conftest import names_of, rows_of

FULL = OSError(28, "No space left on device")


@pytest.mark.parametrize("error", [FULL, RuntimeError("CUDA out of memory"), PermissionError(13, "Access is denied")])
@pytest.mark.parametrize("what", ["export", "monitor", "log", "prune", "answered", "cut_back"])
def test_a_byproduct_that_fails_ends_no_run(what, error, loop, toy, term, monkeypatch, caplog):
    def fail(*args, **kwargs):
        raise error

    places = {
        "log": (log_module.RunLog, "write"),
        "prune": (loop_module, "prune"),
        "answered": (loop_module.StopSignals, "answered"),
        "cut_back": (loop_module, "cut_back"),
    }
    if what in places:
        monkeypatch.setattr(*places[what], fail)
    watch = [Monitor("watch", 2, fail)] if what == "monitor" else []
    config = loop()
    assert run(config, toy, [term], rows_of, monitors=watch, on_save=fail if what == "export" else None) == 6
    assert checkpoint.latest(config.run_dir).step == 6
    assert "failed (" in caplog.text and "the run goes on" in caplog.text
    if what == "export":
        assert f"Export it later with `uso export {config.run_dir} --step 4`." in caplog.text


@pytest.mark.parametrize("what", ["nothing", "rows", "file of rows", "bar", "log", "monitor"])
def test_what_fails_on_one_process_takes_part_in_all_that_the_others_do(what, loop, toy, monkeypatch):
    """Two processes hang when one of them leaves out an exchange: so many there are, whatever fails."""

    def fail(*args, **kwargs):
        raise FULL

    exchanges: list[str] = []

    def counted(name, exchange):
        return lambda *args: exchanges.append(name) or exchange(*args)

    for module, name in (
        (log_module, "gather"),
        (rows_module, "gather"),
        (loop_module, "gather"),
        (loop_module, "agree"),
        (loop_module, "sum_gradients"),
        (loop_module, "wait_for_all"),
    ):
        monkeypatch.setattr(module, name, counted(name, getattr(module, name)))
    config = loop(log_every=1)
    if what == "file of rows":
        (config.run_dir / rows_module.ROW_LOSSES).mkdir(parents=True)
    places = {
        "rows": (rows_module.RowLosses, "add"),
        "bar": (log_module.StepTimes, "mean"),
        "log": (log_module.RunLog, "write"),
    }
    if what in places:
        monkeypatch.setattr(*places[what], fail)
    term = LossTerm("toy", lambda x, random: {**toy.losses(x, random), "times": torch.zeros(random.rows)})
    watch = [Monitor("watch", 2, fail if what == "monitor" else lambda done: {})]
    assert run(config, toy, [term], rows_of, monitors=watch, names_of=names_of) == 6
    each = ["sum_gradients", "agree", "gather", "gather"]  # row losses, averages
    watched, saved = ["wait_for_all"], ["gather", "wait_for_all"]
    assert exchanges == [*watched, *([*each, *each, *watched, *saved] * 3)]


def test_a_report_of_a_crash_that_cannot_be_written_hides_no_crash(loop, toy, term, caplog):
    config = loop()
    config.run_dir.mkdir()
    (config.run_dir / "crash").write_text("in the way")
    with pytest.raises(FloatingPointError, match="step 1 has loss"):
        run(config, toy, [term], lambda random: rows_of(random) * float("nan"))
    assert "the report of it failed" in caplog.text


def test_the_export_of_the_checkpoint_is_offered_again_on_the_next_start(loop, toy, term):
    seen = []
    run(loop(), toy, [term], rows_of, on_save=lambda found, weights: seen.append(found.step))
    run(loop(), toy, [term], rows_of, on_save=lambda found, weights: seen.append((found.step, found.digest(True))))
    assert seen[:3] == [2, 4, 6] and seen[3] == (
        6,
        checkpoint.told_of(loop().run_dir / "checkpoint-0000006")["sha256"]["trained.safetensors"],
    )


def lines(path):
    return [json.loads(line)["step"] for line in path.read_text(encoding="utf-8").splitlines()]


def test_the_log_is_cut_back_to_the_step_that_is_gone_on_from(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text("".join(json.dumps({"step": n, "loss": 1.0}) + "\n" for n in range(8)) + '{"step": 8, "lo')
    cut_back(tmp_path, 5)
    assert lines(path) == [0, 1, 2, 3, 4, 5]
    before = path.stat()
    cut_back(tmp_path, 5)
    assert path.stat().st_mtime_ns == before.st_mtime_ns and path.stat().st_ino == before.st_ino
    cut_back(tmp_path, 0)
    assert lines(path) == []
    cut_back(tmp_path / "nothing", 3)


def test_a_run_that_went_too_far_tells_each_step_once(loop, toy, term):
    config = loop(steps=6, log_every=1, save_every=4)
    run(config, toy, [term], rows_of)
    (config.run_dir / "checkpoint-0000006" / "trained.safetensors").write_bytes(b"as a kill would leave nothing of it")
    run(config, toy, [term], rows_of)
    assert lines(config.run_dir / "log.jsonl") == [1, 2, 3, 4, 5, 6]


def test_tensorboard_leaves_out_what_is_made_again(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from torch.utils.tensorboard import SummaryWriter

    folder = tmp_path / "name"
    for start, end in ((0, 6), (3, 5)):
        if start:
            cut_back(tmp_path, start)
        writer = SummaryWriter(str(folder))
        for step in range(start + 1, end + 1):
            writer.add_scalar("loss", float(start), step)
        writer.close()
    found = EventAccumulator(str(folder)).Reload()
    assert [(event.step, event.value) for event in found.Scalars("loss")] == [(1, 0), (2, 0), (3, 0), (4, 3), (5, 3)]
