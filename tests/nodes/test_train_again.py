"""When ComfyUI takes what the node that trains has given once more, and when it asks it again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import folder_paths
from comfyui_uso.nodes.train import Train

from . import test_train
from .test_train import train

place = test_train.place


def fingerprint(how: str = "", **inputs: Any) -> str:
    """Return what ComfyUI compares before it takes what `train` gave once more."""
    return Train.fingerprint_inputs(**{"recipe": "toy", "name": "cats", "settings": f"how={how}", **inputs})


def test_a_lora_that_was_taken_away_comes_back(place: Path) -> None:
    lora, *_ = train(place)
    assert fingerprint() == "" == Train.fingerprint_inputs(name=None, training_set=None)
    (place / "loras" / lora).unlink()
    assert fingerprint() != ""
    assert train(place)[0] == lora and fingerprint() == ""


def test_a_whole_lora_that_longer_training_has_removed_is_not_given_once_more(place: Path) -> None:
    """ComfyUI may keep results of several graphs."""
    _, whole, *_ = train(place, steps=4)
    train(place, steps=8)
    assert folder_paths.get_full_path("loras", whole) is None
    assert fingerprint(steps=4) != "" == fingerprint(steps=8)


def test_an_own_recipe_that_was_edited_is_trained_again(place: Path) -> None:
    own = place / "output/uso_training/recipes/mine.yaml"
    own.parent.mkdir(parents=True)
    own.write_text("loop: {steps: 40}\n")
    before = fingerprint(recipe="mine.yaml")
    assert before == fingerprint(recipe="mine.yaml")
    own.write_text("loop: {steps: 400}\n")
    assert fingerprint(recipe="mine.yaml") != before


def test_a_lora_that_was_taken_away_comes_back_also_where_a_widget_is_linked(place: Path) -> None:
    """ComfyUI does not know yet what comes through a link."""
    lora, *_ = train(place, steps=4)
    assert fingerprint(steps=None) == ""
    train(place, steps=8)
    assert fingerprint(steps=None) == "", "a file that the newest training has removed is not missed"
    (place / "loras" / lora).unlink()
    assert fingerprint(steps=None) != ""
