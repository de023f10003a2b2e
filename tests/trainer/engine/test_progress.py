"""The rate and the bar count steps alone."""

from __future__ import annotations

import io
import json
import sys

from comfyui_uso.trainer.engine.log import LOG
from comfyui_uso.trainer.engine.loop import run
from comfyui_uso.trainer.engine.loss import Monitor
from comfyui_uso.trainer.engine.progress import StepTimes

from .conftest import rows_of


class Clock:
    """A clock that is moved by hand."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_first_step_and_what_lies_between_steps_are_no_part_of_the_rate():
    clock = Clock()
    times = StepTimes(clock)

    def step(seconds: float) -> float:
        times.begin()
        clock.now += seconds
        times.end()
        clock.now += 1000  # samples, a checkpoint
        return times.mean()

    assert step(90.0) == 90.0, "the only one that there is"
    assert times.left(100) == "", "and nobody is told that 100 of them are left"
    assert step(2.0) == 2.0 and step(4.0) == 3.0 and times.left(1000) == ", 0:50:00 left"
    assert abs([step(5.0) for _ in range(50)][-1] - 5.0) < 1e-9, "old steps are forgotten"


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_on_a_terminal_the_bar_shows_loss_rate_and_time_left(loop, toy, term, monkeypatch):
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    run(loop(steps=4, log_every=2, learning_rate=0.125), toy, [term], rows_of)
    last = screen.getvalue().split("\r")[-1]
    assert "100%" in last and "4/4 [" in last and " steps/s, loss " in last
    assert last.rstrip().endswith("lr 1.25e-01, 0:00:00 left]")


def test_monitors_do_not_slow_the_rate(loop, toy, term, monkeypatch):
    clock = Clock()
    monkeypatch.setattr("comfyui_uso.trainer.engine.log.StepTimes", lambda: StepTimes(clock))

    def batch(random):
        clock.now += 2.0
        return rows_of(random)

    def draw(step):
        clock.now += 500.0
        return {}

    config = loop(steps=4, log_every=1, prefetch=0)
    run(config, toy, [term], batch, monitors=[Monitor("draw", 1, draw)])
    rates = [
        line["rows_per_second"]
        for line in map(json.loads, (config.run_dir / LOG).read_text().splitlines())
        if "loss" in line
    ]
    assert rates == [config.batch_size / 2.0] * 4
