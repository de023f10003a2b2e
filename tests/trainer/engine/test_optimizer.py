"""Optimizers by name and by import path, with arguments; schedules of the learning rate."""

from __future__ import annotations

import math
import sys

import pytest
import torch
from comfyui_uso.trainer.engine.loop import run
from comfyui_uso.trainer.engine.loss import LossTerm
from comfyui_uso.trainer.engine.optimizer import learning_rate, make_optimizer, require_usable
from comfyui_uso.uso_model.errors import UserError
from pydantic import ValidationError
from transformers import get_scheduler

from .conftest import Toy, rows_of


def made(config):
    toy = Toy()
    return make_optimizer(config, {"weight": toy.weight, "bias": toy.bias})


@pytest.mark.parametrize(
    ("schedule", "changes", "theirs", "arguments"),
    [
        ("linear", {}, "linear", {}),
        ("cosine", {}, "cosine", {}),
        ("cosine_with_restarts", {"cycles": 3}, "cosine_with_restarts", {"num_cycles": 3}),
        ("constant_with_warmup", {}, "constant_with_warmup", {}),
        ("polynomial", {"power": 2, "min_learning_rate": 1e-7}, "polynomial", {"power": 2}),
        ("cosine", {"min_learning_rate": 0.25}, "cosine_with_min_lr", {"min_lr": 0.25}),
    ],
)
def test_schedules_are_those_of_transformers(schedule, changes, theirs, arguments, loop):
    config = loop(steps=40, warmup=8, learning_rate=1.0, schedule=schedule, **changes)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    expected = get_scheduler(theirs, optimizer, 8, 40, scheduler_specific_kwargs=arguments)
    for step in range(40):
        if step >= 8:  # our warm-up begins above zero
            assert learning_rate(config, step) == pytest.approx(optimizer.param_groups[0]["lr"], abs=1e-6), step
        optimizer.step()
        expected.step()


def test_older_names_and_numbers_of_the_schedule_stay(loop):
    config = loop(steps=100, learning_rate=3e-4, warmup=10, decay="cosine")
    assert config.schedule == "cosine"
    for step in range(10, 100):
        old = config.learning_rate * 0.5 * (1 + math.cos(math.pi * ((step - 10) / 90)))
        assert learning_rate(config, step) == old
    assert {learning_rate(loop(learning_rate=3e-4), step) for step in range(6)} == {3e-4}
    with pytest.raises(ValidationError, match=r"min_learning_rate 1\.0 is above"):
        loop(min_learning_rate=1.0)


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("torch.optim.Adagrad", {"eps": "1e-6"}),
        ("torch.optim.NAdam", {"betas": [0.8, 0.9]}),
        ("torch.optim.RMSprop", {"momentum": 0.5}),
        ("prodigyopt.Prodigy", {"d_coef": 2.0}),
        ("transformers.optimization.Adafactor", {"relative_step": False, "scale_parameter": False}),
        ("adamw", {"eps": 1e-3, "amsgrad": True}),
    ],
)
def test_any_optimizer_trains_with_its_arguments_and_resumes(name, given, loop, tmp_path):
    def go(folder, steps):
        toy = Toy()
        config = loop(run_dir=tmp_path / folder, steps=steps, optimizer=name, optimizer_args=given)
        run(config, toy, [LossTerm("x", toy.losses)], rows_of)
        return toy.weight

    optimizer = made(loop(optimizer=name, optimizer_args=given))
    for key, value in given.items():
        found = optimizer.param_groups[0][key]
        assert found == (float(value) if isinstance(value, str) else tuple(value) if isinstance(value, list) else value)
    assert type(optimizer).__name__ == (name.rpartition(".")[2] if "." in name else "AdamW")
    go("cut", 3)
    whole = go("whole", 6)
    assert torch.equal(go("cut", 6), whole) and not torch.equal(whole, Toy().weight)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"optimizer": "adamx"}, "got loop.optimizer 'adamx', expected adamw, adamw8bit, prodigy or the import path"),
        ({"optimizer": "AdamW"}, "got loop.optimizer 'AdamW'; write adamw"),
        ({"optimizer": "Adafactor"}, "write transformers.Adafactor with"),
        ({"optimizer": "lion_pytorch.Lion"}, "needs lion_pytorch, which is not installed"),
        ({"optimizer": "torch.optim.Adamm"}, "there is no Adamm in torch.optim"),
        ({"optimizer": "torch.optimm.Adam"}, "there is no module torch.optimm"),
        ({"optimizer": "torch.nn.Linear"}, "is no optimizer, expected a subclass of torch.optim.Optimizer"),
        ({"optimizer": "torch.optim.Optimizer"}, "is no optimizer"),
        ({"optimizer": "os.system"}, "os.system is no optimizer, expected a subclass of torch.optim.Optimizer"),
        ({"optimizer": "subprocess.Popen"}, "is no optimizer, expected a subclass of torch.optim.Optimizer"),
        ({"optimizer": "torch.optim.LBFGS"}, "asks for the loss several times a step"),
        ({"optimizer": "os.path;x"}, "got loop.optimizer 'os.path;x'"),
        (
            {"optimizer_args": {"epsilon": 1}},
            "got 'epsilon' in .*, but AdamW takes betas, eps, amsgrad",
        ),
        (
            {"optimizer_args": {"lr": 1}},
            "got lr in loop.optimizer_args, .* set loop.learning_rate",
        ),
        ({"optimizer_args": {"eps": "x"}}, "AdamW refuses its settings"),
        ({"optimizer": "torch.optim.Rprop", "weight_decay": 0.5}, "loop.weight_decay 0.5, but Rprop has none"),
        ({"optimizer": "torch.optim.Adam", "betas": (0.5, 0.9)}, "give Adam its own in loop.optimizer_args"),
        ({"optimizer": "transformers.Adafactor"}, "Adafactor refuses its settings"),
    ],
)
def test_what_is_no_optimizer_is_one_sentence(changes, message, loop):
    with pytest.raises(UserError, match=message) as caught:
        made(loop(**changes))
    assert "\n" not in str(caught.value)


def test_no_module_of_the_working_folder_is_imported(loop, tmp_path, monkeypatch):
    (tmp_path / "handy.py").write_text("raise SystemExit('this code was run')\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    with pytest.raises(UserError, match="needs handy, which is not installed"):
        made(loop(optimizer="handy.Optimizer"))


def test_arguments_that_are_not_finite_are_refused(loop):
    for value in (float("nan"), "inf", [1.0, float("inf")]):
        with pytest.raises(ValidationError, match="expected a finite number"):
            loop(optimizer_args={"eps": value})


def test_an_optimizer_that_cannot_take_a_step_is_found_before_a_run(loop):
    require_usable(loop(), torch.device("cpu"))
    require_usable(loop(optimizer="prodigy", precision="fp16"), torch.device("cpu"))
    with pytest.raises(UserError, match=r"SparseAdam cannot be used on cpu: .* \(SparseAdam does not support dense"):
        require_usable(loop(optimizer="torch.optim.SparseAdam"), torch.device("cpu"))
