"""Encoding says how far it is, and may be stopped without losing what is done."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import replace

import pytest
from comfyui_uso.trainer import train as module
from comfyui_uso.trainer.engine.telling import telling
from comfyui_uso.trainer.train import encode, train, training_data


def test_it_says_how_far_it_is_between_the_first_and_the_last_picture(recipe, tiny_encoders, monkeypatch, caplog):
    caplog.set_level("INFO")
    monkeypatch.setattr(module, "telling", lambda what, every: telling(what, after=0.01, every=0.01))

    def slow(picture):
        time.sleep(0.02)
        return tiny_encoders.latent(picture)

    encode(training_data(recipe(), replace(tiny_encoders, latent=slow)))
    said = [line for line in caplog.messages if line.startswith("encoded ")]
    assert (
        len(said) > 2 and said[-1].startswith("encoded 29 of 29") and any(" of 29 ... (0 s)" in line for line in said)
    )


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_stop_ends_it_at_once_and_what_is_encoded_stays(name, recipe, tiny_encoders, caplog):
    done, asked = [], []

    def latent(picture):
        if len(done) == 3 and not asked:
            asked.append(1)
            os.kill(os.getpid(), getattr(signal, name))
        done.append(1)
        return tiny_encoders.latent(picture)

    data = training_data(recipe(), replace(tiny_encoders, latent=latent))
    with pytest.raises(KeyboardInterrupt):
        encode(data)
    kept = [entry for entry in data.entries() if entry.is_file()]
    assert len(kept) == 5 + 8 + 3, "prompts, style references, and the targets before"
    assert "what is encoded stays" in caplog.text
    encode(data)
    assert len(done) == 16 and all(entry.is_file() for entry in data.entries())


def test_a_file_named_stop_ends_it_as_well(recipe, tiny_encoders, caplog):
    """It serves where signals do not reach, and a run that goes on with new pictures has steps behind it."""
    caplog.set_level("INFO")
    config, done = recipe(loop={"steps": 1}), []

    def latent(picture):
        done.append(1)
        if len(done) == 3:
            (config.loop.run_dir / "STOP").touch()
        return tiny_encoders.latent(picture)

    assert train(config, replace(tiny_encoders, latent=latent)) == 0 and len(done) == 3
    assert "stopped while encoding; what is encoded stays" in caplog.text
    assert not (config.loop.run_dir / "STOP").exists() and not list(config.loop.run_dir.glob("checkpoint-*"))
    assert train(config, replace(tiny_encoders, latent=latent)) == 1 and len(done) == 16
