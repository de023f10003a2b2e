"""float16 with a scaled loss, averages of schedule-free optimizers, and the length of a run in epochs."""

from __future__ import annotations

import json

import pytest
import torch
from comfyui_uso.trainer.engine import checkpoint
from comfyui_uso.trainer.engine import loop as engine
from comfyui_uso.trainer.engine.ema import averages
from comfyui_uso.trainer.engine.loop import run
from comfyui_uso.trainer.engine.loss import LossTerm
from comfyui_uso.uso_model.errors import UserError
from pydantic import ValidationError

from .conftest import Toy, names_of, rows_of


def steep(network):
    """A loss whose gradient overflows float16 at the first scale."""

    def losses(x, random):
        found = network.losses(x, random)
        return {**found, "loss": 40 * found["loss"]}

    return LossTerm("steep", losses)


def logged(config, key):
    lines = (config.run_dir / "log.jsonl").read_text().splitlines()
    return [json.loads(line)[key] for line in lines]


def test_float16_leaves_out_steps_that_overflow_and_resumes_exactly(loop, tmp_path):
    def go(name, steps, precision="fp16"):
        config, toy = loop(run_dir=tmp_path / name, steps=steps, precision=precision, log_every=1, clip=100), Toy()
        run(config, toy, [steep(toy)], rows_of)
        return toy.weight, config

    whole, config = go("whole", 12)
    scales = logged(config, "loss_scale")
    assert scales[0] == 32768 and scales[-1] < scales[0], "lowered until the gradient fits"
    go("cut", 2)
    resumed, cut = go("cut", 12)
    assert torch.equal(resumed, whole) and logged(cut, "loss_scale") == scales
    plain, _ = go("plain", 12, "no")
    assert not torch.equal(plain, whole) and torch.isfinite(whole).all()
    half, _ = go("half", 12, "bf16")
    assert not torch.equal(half, whole)


def test_float16_stops_where_scaling_does_not_help(loop, toy):
    def poisoned(random):
        return torch.full((random.rows, 3), float("nan"))

    with pytest.raises(FloatingPointError, match="step 1 has loss nan"):
        run(loop(precision="fp16"), toy, [LossTerm("x", toy.losses)], poisoned)


class ScheduleFreeSGD(torch.optim.SGD):
    """SGD whose mode `eval` shows the mean of all weights so far."""

    def __init__(self, params, lr):
        super().__init__(params, lr=lr)
        self.training = False

    def train(self):
        self._swap(True)

    def eval(self):
        self._swap(False)

    @torch.no_grad()
    def _swap(self, training):
        if self.training != training:
            self.training = training
            for p in self.param_groups[0]["params"]:
                state = self.state[p]
                if "mean" in state:
                    p.add_(state["mean"] - p if not training else state["live"] - p)

    @torch.no_grad()
    def step(self, closure=None):
        assert self.training, "the weights for gradients must be in the network"
        super().step()
        for p in self.param_groups[0]["params"]:
            state = self.state[p]
            state["n"] = state.get("n", 0) + 1
            state["live"] = p.clone()
            state["mean"] = state.get("mean", torch.zeros_like(p)) * (1 - 1 / state["n"]) + p / state["n"]


def test_a_schedule_free_optimizer_gives_the_averages(loop, tmp_path, monkeypatch):
    def made(config, trained):
        optimizer = ScheduleFreeSGD(list(trained.values()), 0.05)
        optimizer.train()
        return optimizer

    monkeypatch.setattr(engine, "make_optimizer", made)

    def go(name, steps):
        toy, seen = Toy(), []
        config = loop(run_dir=tmp_path / name, steps=steps, save_every=1)
        run(config, toy, [LossTerm("x", toy.losses)], rows_of, on_save=lambda found, w: seen.append(w["weight"]))
        return checkpoint.latest(config.run_dir), seen

    whole, seen = go("whole", 4)
    lives = [checkpoint.latest(tmp_path / "whole", step).trained()["weight"] for step in (2, 3, 4)]
    assert torch.equal(seen[-1], whole.ema()["weight"]) and not torch.equal(seen[-1], lives[-1])
    go("cut", 2)
    again, _ = go("cut", 4)
    assert torch.equal(again.trained()["weight"], lives[-1]) and torch.equal(again.ema()["weight"], seen[-1])
    with pytest.raises(UserError, match=r"ScheduleFreeSGD averages the weights itself: set loop\.ema to none"):
        averages(loop(ema=0.9), {}, ScheduleFreeSGD([torch.nn.Parameter(torch.zeros(1))], 0.1))


def test_epochs_stand_for_steps(loop):
    config = loop(steps=0, epochs=2.5)
    assert config.of_length(10).steps == 7 and config.of_length(10).epochs is None
    assert loop(steps=5).of_length(10).steps == 5
    for wrong in ({"steps": 0}, {"steps": 3, "epochs": 1}):
        with pytest.raises(ValidationError, match="of steps and epochs, expected one"):
            loop(**wrong)


@pytest.mark.parametrize("on", [True, False])
def test_the_losses_of_rows_are_kept(on, loop, toy):
    def losses(x, random):
        return {**toy.losses(x, random), "times": torch.linspace(0.1, 0.9, len(x))}

    config = loop(row_losses=on, micro_batch=2, log_every=4)
    run(config, toy, [LossTerm("flow", losses)], rows_of, names_of=names_of)
    path = config.run_dir / "rows.jsonl"
    assert path.is_file() == on
    if on:
        found = [json.loads(line) for line in path.read_text().splitlines()]
        assert [(step, name) for step, name, *_ in found] == [(s, f"row{n}") for s in range(1, 7) for n in range(4)]
        assert found[0][2] == 0.1 and found[0][3] > 0
