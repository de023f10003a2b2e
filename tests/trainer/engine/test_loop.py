"""The loop learns, saves, resumes, stops when asked to, and never takes a step that is not finite."""

from __future__ import annotations

import json
import os
import signal

import pytest
import torch
from comfyui_uso.trainer.engine import checkpoint
from comfyui_uso.trainer.engine.loop import run, run_to_ema
from comfyui_uso.trainer.engine.loss import LossTerm, Monitor
from comfyui_uso.trainer.engine.optimizer import learning_rate, make_optimizer
from comfyui_uso.trainer.engine.shares import shares
from comfyui_uso.uso_model.errors import UserError

from .conftest import Toy, names_of, rows_of


def lines(config):
    return [json.loads(line) for line in (config.run_dir / "log.jsonl").read_text().splitlines()]


def test_it_learns_and_logs(loop, toy, term):
    config = loop(steps=200, log_every=50)
    frozen = toy.frozen.clone()
    assert run(config, toy, [term], rows_of) == 200
    found = lines(config)
    assert [line["step"] for line in found] == [50, 100, 150, 200] and found[-1]["loss"] < 0.05 * found[0]["loss"]
    assert torch.equal(toy.frozen, frozen) and (config.run_dir / "env.json").is_file()


@pytest.mark.parametrize("micro", [1, 2])
def test_micro_batches_add_up(micro, loop, tmp_path):
    one, cut = Toy(), Toy()
    run(loop(), one, [LossTerm("fit", one.losses)], rows_of)
    run(loop(micro_batch=micro, run_dir=tmp_path / "cut"), cut, [LossTerm("fit", cut.losses)], rows_of)
    assert torch.allclose(one.weight, cut.weight, atol=1e-5)


@pytest.mark.parametrize("prefetch", [0, 3])
def test_reading_ahead_changes_nothing(prefetch, loop, tmp_path):
    one, other = Toy(), Toy()
    run(loop(micro_batch=2), one, [LossTerm("fit", one.losses)], rows_of)
    config = loop(micro_batch=2, prefetch=prefetch, run_dir=tmp_path / "other")
    run(config, other, [LossTerm("fit", other.losses)], rows_of)
    assert torch.equal(one.weight, other.weight)


def test_an_error_while_reading_ahead_reaches_the_caller(loop, toy, term):
    def broken(random):
        if random.step == 3:
            raise ValueError("picture 3 is damaged")
        return rows_of(random)

    with pytest.raises(ValueError, match="picture 3 is damaged"):
        run(loop(), toy, [term], broken)
    assert checkpoint.latest(loop().run_dir).step == 2


@pytest.mark.parametrize("cut", [1, 3, 4])
@pytest.mark.parametrize("optimizer", ["adamw", "prodigy"])
def test_resume_is_bit_exact(cut, optimizer, loop, tmp_path):
    if optimizer == "prodigy":
        pytest.importorskip("prodigyopt")

    def go(name, steps):
        network = Toy()
        late = LossTerm("late", network.losses, lambda step: float(step >= 3))
        config = loop(run_dir=tmp_path / name, steps=steps, ema=0.5, optimizer=optimizer, warmup=2)
        run(config, network, [LossTerm("fit", network.losses), late], rows_of)
        saved = checkpoint.latest(config.run_dir)
        return {**saved.trained(), **{f"ema.{k}": v for k, v in saved.ema().items()}}

    whole = go("whole", 6)
    go("cut", cut)
    resumed = go("cut", 6)
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_a_row_that_is_not_finite_stops_before_the_step_and_is_named(loop, toy, term):
    def poisoned(random):
        x = rows_of(random)
        if random.step == 3 and random.first <= 2 < random.first + random.rows:
            x[2 - random.first] = float("nan")
        return x

    config = loop(micro_batch=2)
    with pytest.raises(FloatingPointError, match=r"step 4 has loss .* from row row2; .*crash.step-0000004"):
        run(config, toy, [term], poisoned, names_of=names_of)
    report = json.loads((config.run_dir / "crash" / "step-0000004" / "report.json").read_text())
    assert report["rows_not_finite"] == ["row2"] and report["rows"] == ["row0", "row1", "row2", "row3"]
    assert report["gradients_not_finite"] == ["weight", "bias"]
    saved = checkpoint.latest(config.run_dir)
    clean = Toy()
    run(
        config.model_copy(update={"run_dir": config.run_dir / "clean", "steps": 3}),
        clean,
        [LossTerm("fit", clean.losses)],
        rows_of,
    )
    assert saved.step == 2 and torch.equal(toy.weight, clean.weight), "the poisoned step must leave no trace"


def test_a_gradient_that_is_not_finite_stops_too(loop, toy):
    def overflowing(x, random):
        losses = toy.losses(x, random)
        return {**losses, "loss": (losses["loss"] * 1e30) * 1e30 * 0 + losses["loss"].sqrt() * 1e38 * 1e38 * 0}

    before = toy.weight.clone()
    with pytest.raises(FloatingPointError, match="one of the rows row0"):
        run(loop(), toy, [LossTerm("fit", overflowing)], rows_of, names_of=names_of)
    assert torch.equal(toy.weight, before)


def test_terms_are_weighted_skipped_and_compared(loop, toy):
    seen = []

    def second(x, random):
        seen.append(random.step)
        return {} if random.step == 4 else {"loss": toy.errors(x).mean(), "extra": torch.tensor(7.0)}

    terms = [LossTerm("fit", toy.losses), LossTerm("late", second, lambda step: 0.5 * (step >= 2))]
    config = loop(log_every=1)
    run(config, toy, terms, rows_of)
    assert seen == [2, 3, 4, 5]
    found = lines(config)
    assert "late_extra" not in found[1] and found[2]["late_extra"] == 7.0 and "late_loss" not in found[4]
    assert found[2]["cosine_fit_late"] == pytest.approx(1.0, abs=1e-4)
    assert found[2]["late_norm"] == pytest.approx(0.5 * found[2]["fit_norm"], rel=1e-4)


def test_monitors_see_averaged_weights_and_leave_the_live_ones(loop, toy, term):
    seen = []

    def measure(step):
        seen.append((step, toy.weight.detach().clone()))
        return {"watched": float(step)}

    config = loop(steps=4, ema=0.5)
    run(config, toy, [term], rows_of, monitors=[Monitor("watch", 2, measure)])
    assert [step for step, _ in seen] == [0, 2, 4] and [x["watched"] for x in lines(config) if "watched" in x] == [
        0,
        2,
        4,
    ]
    saved = checkpoint.latest(config.run_dir)
    assert torch.equal(saved.ema()["weight"], seen[-1][1]) and torch.equal(saved.trained()["weight"], toy.weight)
    assert not torch.equal(seen[-1][1], toy.weight)


@pytest.mark.parametrize("how", ["STOP", "signal"])
def test_a_request_ends_the_run_after_a_checkpoint(how, loop, toy, term):
    config = loop(save_every=100)

    def asking(random):
        if random.step == 2:
            (config.run_dir / "STOP").touch() if how == "STOP" else os.kill(os.getpid(), signal.SIGTERM)
        return rows_of(random)

    handler = signal.getsignal(signal.SIGTERM)
    assert run(config.model_copy(update={"prefetch": 0}), toy, [term], asking) == 3
    assert checkpoint.latest(config.run_dir).step == 3 and not (config.run_dir / "STOP").exists()
    assert signal.getsignal(signal.SIGTERM) == handler
    assert run(config, toy, [term], rows_of) == 6


def test_a_save_file_makes_a_checkpoint(loop, toy, term):
    config = loop(save_every=100)
    saves = []

    def asking(random):
        if random.step == 1:
            (config.run_dir / "SAVE").touch()
        return rows_of(random)

    assert (
        run(
            config.model_copy(update={"prefetch": 0}),
            toy,
            [term],
            asking,
            on_save=lambda found, weights: saves.append(found.step),
        )
        == 6
    )
    assert saves == [2, 6] and not (config.run_dir / "SAVE").exists()


def test_a_folder_that_cannot_be_written_is_refused_at_once(loop, toy, term, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"cannot be written to .*loop.run_dir"):
        run(loop(run_dir=tmp_path / "file" / "run"), toy, [term], rows_of)


def test_a_full_disk_is_refused_and_loses_nothing(loop, toy, term, monkeypatch):
    config = loop()
    run(config.model_copy(update={"steps": 2}), toy, [term], rows_of)
    usage = checkpoint.shutil.disk_usage(config.run_dir)
    monkeypatch.setattr(checkpoint.shutil, "disk_usage", lambda path: usage._replace(free=10))
    with pytest.raises(OSError, match=r"0.0 MB free, a checkpoint needs .* make room"):
        run(config, Toy(), [term], rows_of)
    monkeypatch.undo()
    assert checkpoint.latest(config.run_dir).step == 2
    again = Toy()
    assert run(config, again, [LossTerm("fit", again.losses)], rows_of) == 6


def test_a_checkpoint_of_other_parameters_is_refused(loop, toy, term):
    run(loop(), toy, [term], rows_of)
    other = Toy()
    other.bias.requires_grad_(False)
    with pytest.raises(ValueError, match=r"checkpoint of other parameters \(2 tensors, not 1\)"):
        run(loop(), other, [LossTerm("fit", other.losses)], rows_of)


def test_the_learning_rate_warms_up_and_decays(loop):
    config = loop(steps=100, learning_rate=1.0, warmup=10, decay="cosine")
    rates = [learning_rate(config, step) for step in range(100)]
    assert rates[0] == pytest.approx(0.1) and rates[10] == pytest.approx(1.0) and rates[99] < 0.001


def test_only_matrices_decay_and_something_must_be_trained(loop, toy):
    groups = make_optimizer(loop(), {"weight": toy.weight, "bias": toy.bias}).param_groups
    assert [(len(g["params"]), g["weight_decay"]) for g in groups] == [(1, 0.01), (1, 0.0)]
    with pytest.raises(ValueError, match="no parameter is trained"):
        make_optimizer(loop(), {})


def test_the_state_of_another_optimizer_is_one_sentence(loop, toy, term, monkeypatch):
    run(loop(steps=2), toy, [term], rows_of)
    monkeypatch.setattr(checkpoint.Checkpoint, "optimizer", lambda self: {"state": {}, "param_groups": []})
    with pytest.raises(UserError, match=r"holds the state of another optimizer .* put loop\.optimizer back"):
        run(loop(steps=4), toy, [term], rows_of)


def test_a_missing_optimizer_package_says_what_to_install(loop, toy, monkeypatch):
    import importlib

    def absent(name):
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setattr(importlib, "import_module", absent)
    with pytest.raises(ValueError, match="adamw8bit needs bitsandbytes: pip install bitsandbytes"):
        make_optimizer(loop(optimizer="adamw8bit"), {"weight": toy.weight})


def test_the_batch_must_divide(loop):
    assert shares(loop(micro_batch=1), 2, 0) == [(0, 1), (1, 1)]
    with pytest.raises(ValueError, match="cannot be shared by 2 processes"):
        shares(loop(batch_size=3), 2, 0)
    with pytest.raises(ValueError, match="gives each 2 rows, not a multiple of micro_batch 4"):
        shares(loop(micro_batch=4), 2, 0)


def test_runs_of_any_precision_follow_each_other(loop, toy, tmp_path):
    seen = []

    def watching(x, random):
        seen.append((x @ toy.weight).dtype)
        return toy.losses(x, random)

    for name, precision in (("a", "no"), ("b", "bf16"), ("c", "no")):
        run(loop(steps=1, run_dir=tmp_path / name, precision=precision), toy, [LossTerm("fit", watching)], rows_of)
    assert seen == [torch.float32, torch.bfloat16, torch.float32] and toy.weight.dtype == torch.float32


@pytest.mark.parametrize("ema", [None, 0.9])
def test_a_network_that_is_written_as_it_is_ends_with_the_averaged_weights(ema, loop, toy, term):
    config = loop(ema=ema)
    frozen = toy.frozen.clone()
    run_to_ema(config, toy, [term], rows_of)
    kept = checkpoint.latest(config.run_dir)
    expected = kept.trained() if ema is None else kept.ema()
    assert torch.equal(toy.weight, expected["weight"]) and torch.equal(toy.frozen, frozen)
    assert ema is None or not torch.equal(toy.weight, kept.trained()["weight"])
