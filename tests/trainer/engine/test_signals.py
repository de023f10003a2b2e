"""Requests to stop are answered at once, by every signal that a system has."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import time

import pytest
from comfyui_uso.trainer.engine import checkpoint
from comfyui_uso.trainer.engine.loop import run
from comfyui_uso.trainer.engine.loss import Monitor
from comfyui_uso.trainer.engine.signals import Interruptible, StopSignals

from .conftest import rows_of, soon

FIRST = "stopping after this step; press again to drop it"
SECOND = "stopping at once; the last checkpoint stands"


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK"])
def test_a_signal_is_acknowledged_and_a_second_one_interrupts(name, tmp_path, caplog, monkeypatch):
    if name == "SIGBREAK":  # that of Windows, under another number
        monkeypatch.setattr(signal, "SIGBREAK", signal.SIGUSR1, raising=False)
    number = getattr(signal, name)
    usual = signal.default_int_handler if name == "SIGINT" else signal.SIG_DFL
    before = signal.signal(number, usual)  # whatever started the tests may have switched one off
    with StopSignals(tmp_path) as signals:
        assert not signals.stop()
        os.kill(os.getpid(), number)
        assert soon(lambda: FIRST in caplog.messages) and signals.stop()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
            soon(lambda: False)
    assert signal.signal(number, before) == usual and signal.set_wakeup_fd(-1) == -1


def test_it_is_acknowledged_while_python_is_in_a_call_that_does_not_return(tmp_path, caplog, monkeypatch):
    """The handler is put off, as it is during a backward pass; the answer comes all the same."""
    with StopSignals(tmp_path) as signals:
        signal.signal(signal.SIGINT, lambda number, frame: None)
        os.kill(os.getpid(), signal.SIGINT)
        assert soon(lambda: FIRST in caplog.messages) and signals.stop()


def test_it_is_acknowledged_where_an_event_loop_takes_the_wake_up_descriptor(tmp_path, caplog):
    """So does that of Windows, when it is made."""
    ear, mouth = socket.socketpair()
    mouth.setblocking(False)
    with ear, mouth, StopSignals(tmp_path) as signals:
        signal.set_wakeup_fd(mouth.fileno())
        os.kill(os.getpid(), signal.SIGINT)
        assert soon(lambda: FIRST in caplog.messages) and signals.stop()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
            soon(lambda: False)
        assert soon(lambda: len(caplog.messages) == 2)
    assert caplog.messages == [FIRST, SECOND]


def test_each_answer_is_told_once_when_signals_are_heard_and_handled(tmp_path, caplog):
    with StopSignals(tmp_path):
        os.kill(os.getpid(), signal.SIGINT)
        assert soon(lambda: FIRST in caplog.messages)
        time.sleep(0.1)  # what the handler writes comes last
        for _ in range(2):
            with pytest.raises(KeyboardInterrupt):
                os.kill(os.getpid(), signal.SIGTERM)
                soon(lambda: False)
    assert caplog.messages == [FIRST, SECOND]


@pytest.mark.parametrize("state", ["full", "closed"])
def test_a_handler_that_can_wake_nobody_counts_all_the_same(state, tmp_path, monkeypatch):
    with StopSignals(tmp_path) as signals:
        signal.set_wakeup_fd(-1)
        ear, mouth = socket.socketpair()
        mouth.setblocking(False)
        if state == "closed":
            mouth.close()
        else:
            with contextlib.suppress(BlockingIOError):
                while True:
                    mouth.send(bytes(1 << 16))
        with ear, mouth, monkeypatch.context() as patch:
            patch.setattr(signals, "_mouth", mouth)
            os.kill(os.getpid(), signal.SIGINT)
            assert soon(signals.stop)


def test_what_nohup_has_switched_off_stays_off(tmp_path):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with StopSignals(tmp_path):
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_phase_that_loses_nothing_is_left_at_once(caplog):
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), Interruptible():
        os.kill(os.getpid(), signal.SIGTERM)
        soon(lambda: False)
    assert soon(lambda: "what is encoded stays" in caplog.text)
    assert signal.getsignal(signal.SIGINT) is before


def test_a_stop_skips_what_is_due_and_keeps_the_step(loop, toy, term, caplog):
    caplog.set_level(logging.INFO)
    config, drawn = loop(save_every=100, prefetch=0), []

    def asking(random):
        if random.step == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return rows_of(random)

    monitor = Monitor("draw", 1, lambda step: drawn.append(step) or {})
    assert run(config, toy, [term], asking, monitors=[monitor]) == 3
    assert drawn == [0, 1, 2] and checkpoint.latest(config.run_dir).step == 3
