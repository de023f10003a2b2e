"""Long phases speak, quick ones do not."""

from __future__ import annotations

import logging
import time
from contextlib import nullcontext

import pytest
from comfyui_uso.trainer.encoders import lazy
from comfyui_uso.trainer.engine.telling import telling

from .conftest import soon


@pytest.fixture(autouse=True)
def quiet(caplog):
    """Let lines of information be seen."""
    caplog.set_level(logging.INFO)


def test_a_quick_phase_is_silent(caplog):
    with telling("reading nothing"):
        pass
    assert not caplog.messages


def test_a_long_phase_says_what_it_does_and_how_far_it_is(caplog):
    with telling("encoding", after=0.01, every=0.01) as phase:
        assert soon(lambda: "encoding ... (0 s)" in caplog.messages)
        phase.now = "encoded 3 of 9"
        assert soon(lambda: "encoded 3 of 9 ... (0 s)" in caplog.messages)
    said = len(caplog.messages)
    time.sleep(0.05)
    assert len(caplog.messages) == said, "it is silent when it is over"


def test_an_error_ends_it(caplog):
    with pytest.raises(ValueError, match="broken"), telling("reading", after=0.01, every=0.01):
        raise ValueError("broken")
    said = len(caplog.messages)
    time.sleep(0.05)
    assert len(caplog.messages) == said


def test_one_process_speaks_for_all(caplog, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    with telling("reading", after=0.0, every=0.01):
        time.sleep(0.05)
    assert not caplog.messages


def test_reading_a_model_names_its_file(monkeypatch):
    said: list[str] = []
    monkeypatch.setattr(lazy, "telling", lambda what: said.append(what) or nullcontext())
    model = lazy.Lazy(lambda: 1, "t5xxl_fp16.safetensors")
    assert model.get() == model.get() == 1 and said == ["reading t5xxl_fp16.safetensors"]
