"""The memory plan counts weights exactly, grows with what costs memory, and the doctor says what is missing."""

from __future__ import annotations

import pytest
import torch
from comfyui_uso.trainer import doctor
from comfyui_uso.trainer.adapters import add_lora
from comfyui_uso.trainer.config import load_config
from comfyui_uso.trainer.memory.frozen import FrozenLinear
from comfyui_uso.trainer.memory.load import load_frozen
from comfyui_uso.trainer.memory.plan import plan
from comfyui_uso.trainer.mini.cli import CONFIGS
from comfyui_uso.trainer.recipe import TrainConfig
from comfyui_uso.uso_model import mini


def recipe(name, *changes):
    return load_config(TrainConfig, CONFIGS / f"{name}.yaml", changes)


@pytest.mark.parametrize("base", ["fp32", "bf16", "fp8"])
def test_weights_are_counted_to_the_byte(base):
    path = mini.paths()["flux"]
    transformer = load_frozen(path, base)
    add_lora(transformer, 16)
    held = sum(
        p.numel() * (1 if isinstance(m, FrozenLinear) and n == "weight" else 4 if base == "fp32" else 2)
        for m in transformer.modules()
        for n, p in m.named_parameters(recurse=False)
        if not p.requires_grad
    )
    changes = [f"memory.base={base}", "loop.precision=bf16", "train_projector=false", "loop.ema=null"]
    planned = plan(recipe("toy", *changes), transformer.config)
    trained = sum(p.numel() for p in transformer.parameters() if p.requires_grad)
    assert planned.card["frozen weights"] == held
    assert planned.card["trained values and optimizer"] == 16 * trained


def test_the_published_sizes():
    """Rank 128 has 239,075,328 values; 8-bit FLUX.1 is 11.9 GB, a third of which is modulation when it is resident."""
    whole = plan(recipe("adapt_24gb", "loop.ema=null"))
    assert whole.card["trained values and optimizer"] == 10 * 239_075_328
    assert whole.card["frozen weights"] == pytest.approx(11.9e9, rel=0.01) and not whole.ram
    assert whole.tokens == 512 + 192 + 4096 + 1024
    away = plan(recipe("adapt_24gb", "memory.modulation=offloaded", "loop.ema=null"))
    assert whole.on_card - away.on_card == pytest.approx(3.2e9, rel=0.03)


@pytest.mark.parametrize(("name", "room"), [("adapt_24gb", 24), ("adapt_16gb", 16), ("adapt_12gb", 12)])
def test_the_ladder_fits_its_cards(name, room):
    assert plan(recipe(name)).on_card <= room * 1e9


def test_what_costs_memory_costs_in_the_plan():
    least = plan(recipe("adapt_12gb")).on_card
    for change in (
        "data.size=1024",
        "lora.rank=64",
        "memory.stream_blocks=20",
        "memory.base=bf16",
        "loop.micro_batch=2",
    ):
        assert plan(recipe("adapt_12gb", change)).on_card > least, change


def test_the_report(monkeypatch):
    text = doctor.diagnose()
    assert f"torch {torch.__version__.partition('+')[0]}" in text and "adapt_12gb:" in text
    assert "recommended here: " in text
    told = doctor.diagnose(recipe("adapt_12gb"))
    assert "flux1-dev.safetensors IS MISSING" in told and "blocks in RAM (RAM)" in told
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda n: "a card")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda n: (8, 9))
    for free, name in ((24.5e9, "adapt_24gb"), (16.5e9, "adapt_16gb"), (11.9e9, "adapt_12gb"), (4e9, "data.size=512")):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda n, free=free: (int(free), int(free)))
        assert name in doctor.diagnose().splitlines()[-1]
    assert "DOES NOT FIT: 4.0 GB are free on the card" in doctor.diagnose(recipe("adapt_12gb"))
