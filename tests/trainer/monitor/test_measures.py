"""The validation loss is fixed, and drift is one without adapters."""

from __future__ import annotations

import pytest
import torch
from comfyui_uso.trainer.lora.adapters import add_lora
from comfyui_uso.trainer.monitor.drift import drift
from comfyui_uso.trainer.monitor.validation import TIMES, validation
from comfyui_uso.trainer.networks import Networks


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
