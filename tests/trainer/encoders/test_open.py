"""Judges join the encoders when the recipe names them, and are read when they are used."""

from __future__ import annotations

import sys
from dataclasses import replace
from types import ModuleType

import pytest
import torch
from comfyui_uso.trainer.encoders import judges as module
from comfyui_uso.trainer.encoders.fingerprint import fingerprint
from comfyui_uso.trainer.encoders.judges import measured, rewarding
from comfyui_uso.trainer.encoders.open import open_encoders
from comfyui_uso.uso_model.checkpoints import write_safetensors
from comfyui_uso.uso_model.judging.csd import CARD


class Mean(torch.nn.Module):
    """A judge of mean colours."""

    def __init__(self, card=CARD):
        super().__init__()
        self.card, self.scale = card, torch.nn.Parameter(torch.full((1,), 3.0))

    def prepare(self, picture):
        raise AssertionError("Pillow cannot pass a gradient on")

    def embed(self, prepared):
        return prepared.mean(dim=(2, 3)) * self.scale

    embed_pixels = embed


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Write files of two judges, and note each time that one is read."""
    found = {name: tmp_path / f"{name}.safetensors" for name in ("csd", "dino")}
    for number, path in enumerate(found.values(), start=3):
        write_safetensors(path, {"w": torch.full((1,), float(number))})
    read = []

    def load(name, path, device):
        read.append((name, path, device))
        return Mean()

    monkeypatch.setattr(module, "load_judge", load)
    return found, read


def test_a_judge_is_read_on_first_use_and_again_after_release(files, recipe):
    found, read = files
    plain, encoders = (open_encoders(recipe(models=models)) for models in ({}, {"csd": found["csd"]}))
    assert encoders.names == plain.names and read == []
    assert encoders.judges["csd"].name not in (None, plain.judges["csd"].name)
    pixels = torch.rand(2, 3, 8, 8).requires_grad_()
    for _ in range(2):
        seen = encoders.judges["csd"].embed(pixels)
        assert torch.equal(seen, pixels.mean(dim=(2, 3)) * 3)
        assert torch.autograd.grad(seen.sum(), [pixels])[0].abs().sum() > 0
    assert read == [("csd", found["csd"], "cpu")]
    encoders.release()
    encoders.judges["csd"].embed(pixels)
    assert len(read) == 2


def test_old_and_new_names_of_the_file_are_one_setting(files, recipe):
    """The names under which the cache keeps descriptors are those of older versions, so that these stay."""
    found, _ = files
    old, new = (open_encoders(recipe(models=m)) for m in ({"csd": found["csd"]}, {"judges": {"csd": found["csd"]}}))
    assert old.judges["csd"].name == new.judges["csd"].name == fingerprint(found["csd"])
    assert old.judges["csd"].against == "style"
    with pytest.raises(ValueError, match=r"dino\.safetensors are one setting; leave out csd"):
        recipe(models={"csd": found["csd"], "judges": {"csd": found["dino"]}})


def test_rewards_and_witnesses(files, recipe):
    found, read = files
    reward = {"start": 0, "judges": {"csd": 1, "dino": {"weight": 0.5, "against": "style"}}}
    models = {"judges": {**found, "clip": found["csd"]}}
    config = recipe(models=models, reward=reward)
    encoders = open_encoders(config)
    assert {name: one.against for name, one in encoders.judges.items()} == {
        "csd": "style",
        "dino": "content",
        "clip": "content",
    }
    assert {name: one.against for name, one in rewarding(config, encoders).items()} == {"csd": "style", "dino": "style"}
    assert list(measured(config, encoders)) == ["csd", "dino", "clip"]
    quiet = recipe(models=models, reward=reward, monitor={"witnesses": []})
    assert list(measured(quiet, encoders)) == ["csd", "dino"] and read == []
    asked = recipe(reward={"start": 0, "judges": {"clip": 1}})
    with pytest.raises(ValueError, match=r"reward\.judges: the judge clip needs .* as models\.judges\.clip; it can be"):
        rewarding(asked, replace(encoders, judges={}))


def test_a_judge_of_another_package(recipe, monkeypatch):
    """It is made at once, to be asked what it sees, and never trained."""
    made = []

    def brightness(device):
        made.append(Mean(replace(CARD, sees=("subject",), revision="7")))
        return made[-1]

    other = ModuleType("some_judges")
    other.brightness = brightness
    monkeypatch.setitem(sys.modules, "some_judges", other)
    name = "some_judges:brightness"
    config = recipe(reward={"start": 0, "judges": {name: 1}})
    judge = rewarding(config, open_encoders(config))[name]
    assert judge.against == "content" and judge.name == f"{name} 7 None"
    assert not any(p.requires_grad for p in made[0].parameters()) and len(made) == 1


def test_a_file_that_is_not_there(tmp_path, recipe):
    with pytest.raises(ValueError, match=r"csd\.safetensors is not there"):
        open_encoders(recipe(models={"csd": tmp_path / "csd.safetensors"}))
