"""Events: their order, what JSON cannot hold, and readers that are slow or gone."""

from __future__ import annotations

import json
import logging
import os
import signal
import threading
from pathlib import Path

import pytest
from comfyui_uso.trainer.engine import signals
from comfyui_uso.trainer.engine.control import Control
from comfyui_uso.trainer.engine.events import Events
from comfyui_uso.trainer.engine.reporting import reporting
from comfyui_uso.trainer.engine.signals import Interruptible, StopSignals

from .conftest import soon


@pytest.fixture
def lines():
    """Return what was written."""
    return []


@pytest.fixture
def events(lines):
    """Return events that are written there when they are closed."""
    found = Events()
    found.open(lines.append)
    return found


def told(events, lines):
    events.close()
    assert all(line.endswith(b"\n") and line.count(b"\n") == 1 for line in lines)
    return [json.loads(line) for line in lines]


def test_start_comes_first_and_nothing_after_the_last_one(events, lines):
    events.emit("warning", text="before anything is known of the run")
    events.emit("start", protocol=1, run=Path("runs/a"))
    events.emit("stopped", step=1, steps=2)
    events.emit("error", text="while it ends")
    events.emit("warning", text="later still")
    assert [event["event"] for event in told(events, lines)] == ["start", "warning", "stopped"]
    assert json.loads(lines[0])["run"] == str(Path("runs/a"))


def test_what_is_wrong_before_the_run_is_known_has_a_start_too(events, lines):
    events.emit("error", text="no such recipe")
    assert [event["event"] for event in told(events, lines)] == ["start", "error"]


def test_what_json_cannot_hold(events, lines):
    events.emit("start")
    values = {"values": {"nan": float("nan"), "inf": [float("inf")]}, "text": "\u30b9\udcff", "other": {1}}
    events.emit("measure", **values)
    found = told(events, lines)[1]
    assert found["values"] == {"nan": None, "inf": [None]} and found["other"] == "{1}"
    assert b"\\u30b9\\udcff" in lines[1]


def test_what_comes_often_is_left_out_but_for_the_last(events, lines):
    events.emit("start")
    for step in range(1, 101):
        events.often("step", always=step == 100, step=step)
    found = [event["step"] for event in told(events, lines)[1:]]
    assert found[0] == 1 and found[-1] == 100 and len(found) < 50


def test_a_reader_that_is_gone_and_one_that_does_not_read(monkeypatch, lines):
    monkeypatch.setattr("comfyui_uso.trainer.engine.events.PATIENCE", 0.05)
    waits = threading.Event()

    def gone(line):
        lines.append(line)
        raise BrokenPipeError

    for write in (gone, lambda line: waits.wait(10)):
        events = Events()
        events.open(write)
        events.emit("start")
        for _ in range(1000):
            events.often("step", every=0.0)
        events.emit("done")
        events.close()
        assert not events.wanted
    waits.set()
    assert len(lines) == 1


def test_closed_events_cost_nothing():
    events = Events()
    events.emit("start", made=lambda: pytest.fail("it is looked at"))
    events.often("step")
    assert not events.wanted


def test_no_other_command_line_opens_them():
    for words in (["train", "toy"], ["train", "toy", "--progress"], ["json", "--progress"]):
        with reporting(words):
            signals.CONTROL.interrupts(False)


@pytest.fixture
def asking(monkeypatch):
    """Return the requests of this process, and the other side of its standard input."""
    control = Control()
    monkeypatch.setattr(signals, "CONTROL", control)
    reading, writing = os.pipe()
    control.listen(reading)
    ends = [writing]
    yield control, writing, lambda: os.close(ends.pop())
    while ends:
        os.close(ends.pop())


def test_lines_ask_to_save_and_to_stop(asking, tmp_path, caplog):
    control, pipe, _ = asking
    with StopSignals(tmp_path) as requests:
        os.write(pipe, b"sa")
        os.write(pipe, b"ve\r\nsing\n\n")
        assert soon(requests.save) and soon(lambda: "got 'sing'" in caplog.text) and not requests.stop()
        requests.answered()
        assert not requests.save()
        os.write(pipe, b"stop\nstop\n")
        assert soon(requests.stop) and control.stop()
    with pytest.raises(KeyboardInterrupt), Interruptible():
        pytest.fail("it was asked to stop before")


def test_the_end_of_the_input_is_a_stop_and_drops_no_step(asking, tmp_path, caplog):
    """Neither after `stop` nor after a Ctrl-C that reached both programs does it count as the second one."""
    caplog.set_level(logging.INFO)
    control, pipe, end = asking
    with StopSignals(tmp_path) as requests:
        os.write(pipe, b"stop\n")
        os.kill(os.getpid(), signal.SIGINT)
        end()
        assert soon(requests.asked) and soon(control.stop) and not soon(lambda: False, 0.1)


def test_a_phase_that_loses_nothing_ends_with_the_input(asking, caplog):
    caplog.set_level(logging.INFO)
    before = signal.getsignal(signal.SIGINT)
    *_, end = asking
    with pytest.raises(KeyboardInterrupt), Interruptible():
        end()
        soon(lambda: False)
    assert "standard input has ended" in caplog.text and signal.getsignal(signal.SIGINT) is before
