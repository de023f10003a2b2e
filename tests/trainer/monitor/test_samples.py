"""Drawn pictures repeat, stand beside what was fed, and are written whatever happens around them."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from comfyui_uso.trainer.monitor import samples as module
from comfyui_uso.trainer.monitor.samples import Shown, samples
from comfyui_uso.trainer.monitor.stopping import StopAsked, checking, stoppable
from comfyui_uso.trainer.networks import Networks
from comfyui_uso.trainer.settings.monitor import MonitorConfig
from PIL import Image

NUMBERS = {"sample_style", "sample_copy", "sample_descriptor"}


@pytest.fixture
def draw(tiny_transformer, tiny_encoders, tmp_path):
    """Return a function that makes the monitor of some pictures to draw, and the list of its releases."""
    released = []
    encoders = replace(tiny_encoders, release=lambda: released.append(1))

    def make(*shown, folder="run/samples", **arguments):
        settings, empty = MonitorConfig(samples_every=10, sample_steps=2), (torch.zeros(3, 8), torch.zeros(8))
        place = None if folder is None else tmp_path / folder
        return samples(Networks(tiny_transformer, None), encoders, shown, empty, settings, place, **arguments)

    return make, released


def test_pictures_repeat_and_lie_in_a_grid_and_by_themselves(draw, sample, colours, tmp_path):
    make, released = draw
    fed = sample._replace(style_paths=(colours["blue"],), content_paths=(colours["green"],))
    monitor = make(Shown(fed, "cat/1", "a cat", 3, colours["red"]), Shown(sample, "A dog: big?", "", 5, None))
    first, second = monitor.measure(0), monitor.measure(10)
    assert {k: v for k, v in first.items() if k in NUMBERS} == {k: v for k, v in second.items() if k in NUMBERS}
    assert set(first) == NUMBERS | {"samples/grid", "samples/01-cat-1", "samples/02-a-dog-big"} and len(released) == 2
    folder = tmp_path / "run/samples"
    assert {path.relative_to(folder).as_posix() for path in folder.rglob("*.png")} == {
        f"step-{step:07d}{part}" for step in (0, 10) for part in (".png", "/01-cat-1.png", "/02-a-dog-big.png")
    }
    with Image.open(folder / "step-0000010/01-cat-1.png") as one:
        assert one.size == (32, 32) and one.text["Description"] == "step 10, seed 3: a cat"
        again = Image.open(folder / "step-0000000/01-cat-1.png")
        assert one.tobytes() == again.tobytes()
    with Image.open(folder / "step-0000010.png") as grid:
        cells = [grid.getpixel((8 + 264 * column + 128, 52 + 128)) for column in range(3)]
    assert cells == [(0, 250, 0), (0, 0, 250), (250, 0, 0)], "content, style, target"


def test_likeness_is_to_all_that_was_fed(draw, sample, colours, monkeypatch):
    seen = []
    monkeypatch.setattr(module, "style_likeness", lambda a, b: seen.append(b.mean(dim=(2, 3))[0].tolist()) or b.mean())
    make, _ = draw
    fed = sample._replace(style_paths=(colours["red"], colours["blue"]))
    make(Shown(fed, "a", "", 0, None), folder=None).measure(0)
    assert [[round(x) for x in colour] for colour in seen] == [[1, -1, -1], [-1, -1, 1]]


def test_a_reference_that_is_gone_is_said_and_the_rest_is_drawn(draw, sample, colours, caplog):
    make, _ = draw
    fed = sample._replace(style_paths=(colours["red"],), content_paths=(colours["green"],))
    colours["red"].unlink()
    found = make(Shown(fed, "a", "a", 0, colours["blue"])).measure(0)
    assert "samples/01-a" in found and "sample_style" not in found
    assert "red.png is not there" in caplog.text


def test_a_full_disk_costs_the_files_alone(draw, sample, colours, caplog, monkeypatch):
    def full(path, write, *, durable):
        raise OSError(f"{path} cannot be written (No space left on device); make room on the disk")

    monkeypatch.setattr(module, "atomic_write", full)
    make, _ = draw
    found = make(Shown(sample._replace(style_paths=(colours["red"],)), "a", "a", 0, None)).measure(7)
    assert found.keys() >= NUMBERS and "samples of step 7 are lost, and the run goes on" in caplog.text


def test_a_stop_does_not_wait_for_pictures(draw, sample, caplog):
    caplog.set_level("INFO")
    make, released = draw
    passes = iter([False, False, True])
    monitor = make(*(Shown(sample, "a", "a", 0, None) for _ in range(9)), check=checking(lambda: next(passes)))
    assert stoppable(monitor).measure(3) == {} and released == [1]
    assert "samples at step 3 is left out" in caplog.text
    with pytest.raises(StopAsked):
        checking(lambda: True)()
