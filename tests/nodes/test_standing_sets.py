"""Sets for training that ComfyUI has cached: one that is gone, or was replaced, is made again, and no other one."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from comfyui_uso.nodes.training.sets import TrainingSet
from comfyui_uso.nodes.training_set import TrainingSetNode
from PIL import Image

from . import test_training_set
from .test_training_set import fill

place = test_training_set.place


class Cache:
    """ComfyUI's cache under --cache-lru, which keeps what any earlier graph has given."""

    def __init__(self) -> None:
        self.made: dict[str, TrainingSet] = {}
        self.runs = 0

    def queue(self, linked: dict[str, Any] | None = None, **typed: Any) -> TrainingSet:
        """Return the set of a graph, of which some inputs come through links.

        ComfyUI asks what has changed before anything runs, and so without what comes through links.
        """
        linked = linked or {}
        known = {name: [value] for name, value in typed.items()} | dict.fromkeys(linked, (None,))
        key = repr((TrainingSetNode.fingerprint_inputs(**known), typed, linked))
        if key not in self.made:
            self.runs += 1
            inputs = {name: value if isinstance(value, list) else [value] for name, value in (typed | linked).items()}
            self.made[key] = TrainingSetNode.execute(**inputs).result[0]
        found = self.made[key]
        found.require_unchanged()
        return found


@pytest.fixture
def cache(place: Path) -> Cache:
    fill(place / "input/cats")
    fill(place / "input/dogs", 4)
    return Cache()


@pytest.mark.parametrize("name", ["", "x"])
def test_a_set_that_was_deleted_is_made_again_once(name: str, cache: Cache, place: Path) -> None:
    first = cache.queue(folder="input/cats", name=name)
    assert cache.queue(folder="input/cats", name=name) == first and cache.runs == 1
    for runs in (2, 3):
        shutil.rmtree(place / "output/uso_training")
        assert [cache.queue(folder="input/cats", name=name) for _ in range(2)] == [first] * 2
        assert first.manifest.is_file() and cache.runs == runs


def test_two_sets_that_take_turns_under_one_name_are_made_each_time(cache: Cache) -> None:
    for runs, kind in enumerate(("cats", "dogs", "cats", "dogs", "dogs"), 1):
        assert cache.queue(folder=f"input/{kind}", name="x").rows == (3 if kind == "cats" else 4)
        assert cache.runs == min(runs, 4), "the last one stands"


def test_another_caption_and_back_under_one_name(cache: Cache) -> None:
    for text in ("a", "b", "a"):
        cache.queue(folder="input/cats", name="x", captions="text", caption=text)
    assert cache.runs == 3


def test_a_picture_more_makes_a_set_once(cache: Cache, place: Path) -> None:
    cache.queue(folder="input/cats", name="x")
    Image.new("RGB", (64, 64)).save(place / "input/cats/more.png")
    assert [cache.queue(folder="input/cats", name="x").rows for _ in range(2)] == [4, 4] and cache.runs == 2


def test_what_comes_through_links_is_found_by_what_is_typed(cache: Cache, place: Path) -> None:
    one, other = torch.rand(2, 32, 32, 3), torch.rand(3, 32, 32, 3)
    for images in (one, other, one):
        cache.queue({"images": images, "trigger": "ink"}, name="x")
    assert cache.runs == 3
    shutil.rmtree(place / "output/uso_training")
    assert cache.queue({"images": one, "trigger": "ink"}, name="x").rows == 2
    cache.queue({"trigger": "ink"}, folder="input/cats")
    shutil.rmtree(place / "output/uso_training")
    assert cache.queue({"trigger": "ink"}, folder="input/cats").rows == 3
    assert cache.queue({"folder": "input/cats"}, name="y").rows == 3
    shutil.rmtree(place / "output/uso_training")
    assert cache.queue({"folder": "input/cats"}, name="y").rows == 3
