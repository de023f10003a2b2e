"""The validation loss is fixed, drift is one without adapters, and pictures repeat."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from comfyui_uso.trainer.adapters import add_lora
from comfyui_uso.trainer.data.batch import Sample
from comfyui_uso.trainer.monitor.drift import drift
from comfyui_uso.trainer.monitor.samples import Shown, samples
from comfyui_uso.trainer.monitor.validation import TIMES, validation
from comfyui_uso.trainer.networks import Networks
from comfyui_uso.trainer.settings.monitor import MonitorConfig
from PIL import Image


@pytest.fixture
def sample():
    generator = torch.Generator().manual_seed(1)
    return Sample("a", *(torch.randn(*shape, generator=generator) for shape in ((16, 4, 4), (3, 8), (8,))))


def test_the_validation_loss_repeats_and_is_the_mean_of_its_halves(tiny_transformer, sample):
    monitor = validation(Networks(tiny_transformer, None), [sample, sample._replace(id="b")], 1.0, every=5)
    found = monitor.measure(0)
    assert found == monitor.measure(7) and monitor.every == 5
    halves = [found[f"validation_loss_{name}"] for name in ("low", "high")]
    assert found["validation_loss"] == pytest.approx(sum(halves) / 2) and len(TIMES) == 8
    with torch.no_grad():
        tiny_transformer.final_layer.linear.weight.mul_(3)
    assert monitor.measure(8)["validation_loss"] > found["validation_loss"]


def test_drift_is_the_growth_of_the_velocity(tiny_transformer, sample, caplog):
    add_lora(tiny_transformer, rank=4)
    monitor = drift(Networks(tiny_transformer, None), [sample, sample], every=1)
    assert monitor.measure(0) == {"velocity_drift": 1.0} and not caplog.text
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for name, p in tiny_transformer.named_parameters():
            if "lora_B" in name:
                p.copy_(3 * torch.randn(p.shape, generator=generator))
    grown = monitor.measure(9)["velocity_drift"]
    assert grown != 1.0
    assert ("times as long as without the LoRA" in caplog.text) == (grown > 1.05)


def test_pictures_repeat_and_are_compared_with_their_style(tiny_transformer, tiny_encoders, sample, tmp_path):
    for name, colour in (("t", (250, 0, 0)), ("s", (0, 0, 250))):
        Image.new("RGB", (32, 40), colour).save(tmp_path / f"{name}.png")
    released = []
    encoders = replace(tiny_encoders, release=lambda: released.append(1))
    rows = [Shown(sample, tmp_path / "t.png", tmp_path / "s.png", None), Shown(sample, tmp_path / "t.png", None, None)]
    settings = MonitorConfig(samples_every=10, sample_steps=2)
    empty = (torch.zeros(3, 8), torch.zeros(8))
    monitor = samples(Networks(tiny_transformer, None), encoders, rows, empty, settings, tmp_path / "out")
    first, second = monitor.measure(0), monitor.measure(10)
    assert first == second and set(first) == {"sample_style", "sample_copy", "sample_descriptor"} and len(released) == 2
    files = sorted((tmp_path / "out").iterdir())
    assert [path.name for path in files] == ["step-0000000.png", "step-0000010.png"]
    assert files[0].read_bytes() == files[1].read_bytes()
    with Image.open(files[0]) as sheet:
        assert sheet.size == (4 * 256, 2 * 256)
        assert sheet.getpixel((128, 128)) == (255, 255, 255), "no content reference"
        assert sheet.getpixel((256 + 128, 128)) == (0, 0, 250) and sheet.getpixel((512 + 128, 128)) == (250, 0, 0)
