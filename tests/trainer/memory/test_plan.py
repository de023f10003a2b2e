"""The memory plan counts weights exactly, knows what a block and a decoder keep, and grows with what costs memory."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from comfyui_uso.mini.model import weight_files
from comfyui_uso.mini.world.dataset import write_triplets
from comfyui_uso.trainer.encoders.open import open_encoders
from comfyui_uso.trainer.engine.randomness import StepRandom
from comfyui_uso.trainer.lora.adapters import add_lora
from comfyui_uso.trainer.memory.activations import HELD, MOMENTARY
from comfyui_uso.trainer.memory.checkpointing import checkpoint_decoder
from comfyui_uso.trainer.memory.frozen import FrozenLinear
from comfyui_uso.trainer.memory.load import load_frozen
from comfyui_uso.trainer.memory.plan import DECODE, DECODE_WITH_GRADIENT, memory_text, plan
from comfyui_uso.trainer.networks import build_networks
from comfyui_uso.trainer.objective.step import flow_matching_term
from comfyui_uso.trainer.preflight import memory
from comfyui_uso.trainer.reading.recipe_files import RECIPES, load_recipe
from comfyui_uso.trainer.train import training_data
from comfyui_uso.uso_model.autoencoder import Autoencoder
from comfyui_uso.uso_model.checkpoints import read_lora
from comfyui_uso.uso_model.config import FLUX_AE, FLUX_DEV
from comfyui_uso.uso_model.transformer import UsoTransformer

from .conftest import peak


def recipe(name, *changes):
    return load_recipe(RECIPES / f"{name}.yaml", texts=changes)


@pytest.mark.parametrize("base", ["fp32", "bf16", "fp8"])
def test_weights_are_counted_to_the_byte(base):
    path = weight_files()["flux"]
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
    assert planned.gpu["frozen weights"] == held
    assert planned.gpu["trained values and optimizer"] == 16 * trained


def test_the_published_sizes():
    """Rank 128 has 239,075,328 values; 8-bit FLUX.1 is 11.9 GB, a third of which is modulation when it is resident."""
    whole = plan(recipe("adapt_24gb", "loop.ema=null"))
    assert whole.gpu["trained values and optimizer"] == 10 * 239_075_328
    assert whole.gpu["frozen weights"] == pytest.approx(11.9e9, rel=0.01)
    assert not {"blocks in RAM", "modulation in RAM"} & whole.ram.keys()
    assert whole.tokens == 512 + 192 + 4096 + 1024
    through_the_autoencoder = plan(recipe("adapt_24gb", "conditions.style_path=vae", "loop.ema=null"))
    assert through_the_autoencoder.tokens == 512 + 1024 + 4096 + 1024
    away = plan(recipe("adapt_24gb", "memory.modulation=offloaded", "loop.ema=null"))
    assert whole.on_gpu - away.on_gpu == pytest.approx(3.2e9, rel=0.03)


@pytest.mark.parametrize(("name", "room"), [("adapt_24gb", 24), ("adapt_16gb", 16), ("adapt_12gb", 12)])
def test_the_ladder_fits_its_cards(name, room):
    planned = plan(recipe(name))
    assert max(planned.on_gpu, planned.encoding) <= room * 1e9


def test_what_costs_memory_costs_in_the_plan():
    quiet = "monitor.samples_every=0"
    least = plan(recipe("adapt_12gb", quiet)).on_gpu
    for change in (
        "data.size=1024",
        "data.style_features=online",
        "lora.rank=64",
        "memory.blocks_to_swap=20",
        "memory.base=bf16",
        "loop.micro_batch=2",
        "monitor.samples_every=1",
    ):
        assert plan(recipe("adapt_12gb", quiet, change)).on_gpu > least, change
    reward = ["reward.start=0", "models.csd=csd.safetensors"]
    refl, endpoint = (
        plan(recipe("adapt_12gb", quiet, *reward, f"reward.form={form}")) for form in ("refl", "endpoint")
    )
    assert endpoint.on_gpu > refl.on_gpu > least + 1.5e9, "the descriptor's weights and a decoding with a gradient"


def test_the_branches_that_are_trained_are_counted():
    """Those of the file that is trained on, or the new ones' layers, blocks and rank."""
    sizes = load_frozen(weight_files()["flux"], "fp32").config
    settings = ("train_projector=false", "loop.ema=null")

    def trained(*changes):
        return plan(recipe("toy", *settings, *changes), sizes).gpu["trained values and optimizer"] / 16

    whole = trained("lora.rank=4")
    file = read_lora(weight_files()["lora"])
    assert trained("lora.start=continue", "lora.rank=none") == file.parameters
    parts = [trained("lora.rank=4", f"lora.blocks={blocks}") for blocks in ("d0-1", "s0-3")]
    assert sum(parts) == whole and trained("lora.rank=4", "lora.layers=all") > whole


def test_what_a_block_keeps():
    width, tokens = 256, 512
    sizes = replace(FLUX_DEV, hidden_size=width, num_heads=2, depth=0, depth_single_blocks=1)
    transformer = UsoTransformer(sizes).bfloat16()
    add_lora(transformer, 4)
    block = transformer.single_blocks[0]
    x = torch.randn(1, tokens, width, dtype=torch.bfloat16, requires_grad=True)
    vec, pe = torch.randn(1, width, dtype=torch.bfloat16), torch.randn(2, 1, 1, tokens, 64)

    def step(size):
        with torch.autocast("cpu", torch.bfloat16):
            out = block(x[:, :size], vec, pe[:, :, :, :size])
        out.sum().backward()

    # The weights' own part does not grow with the tokens, so the difference of two lengths leaves it out.
    step(tokens)
    peaks = [peak(lambda size=size: step(size)) for size in (tokens, tokens // 2)]
    assert (peaks[0] - peaks[1]) / (2 * width * tokens / 2) == pytest.approx(HELD + MOMENTARY, rel=0.1)


def of_a_step(rows, given):
    """Return the most bytes of a step of so many rows at once, and those of the plan."""
    config = recipe("toy", *given, f"loop.batch_size={rows}")
    data, networks = training_data(config, open_encoders(config)), build_networks(config, torch.device("cpu"))
    random = StepRandom(0, 0, 0, rows)
    batch, term = data.batch(random), flow_matching_term(networks, config.flow, config.conditions)
    training = next(phase for phase in plan(config, device="cpu").phases if phase.name == "training")
    return peak(lambda: term.losses(batch, random)["loss"].backward()), training.ram["activations"]


def test_a_step_of_small_networks_takes_what_the_plan_says(tmp_path):
    """By the difference of two batches: weights and libraries are the same in both."""
    write_triplets(tmp_path, 6, 3)
    for changes in (["conditions.dropout=0"], ["stage=style"]):
        (more, planned_more), (less, planned) = (of_a_step(n, [f"data={tmp_path}", *changes]) for n in (6, 2))
        assert more - less == pytest.approx(planned_more - planned, rel=0.25), changes


def test_a_batch_that_does_not_fit_is_said_before_it_is_tried(monkeypatch):
    monkeypatch.setattr(memory.psutil, "virtual_memory", lambda: SimpleNamespace(available=8e9))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert not list(memory.short_of_memory(recipe("toy")))
    (note,) = memory.short_of_memory(recipe("toy", "loop.batch_size=1000"))
    assert note.startswith("training needs ") and "loop.micro_batch=1 saves " in note and "8.0 GB are free" in note
    needed = float(note.split()[2])
    assert needed > 12 and f"USO-mini: {needed:.1f} GB of RAM" in memory_text(recipe("toy", "loop.batch_size=1000"))


def test_what_decoding_keeps():
    autoencoder = checkpoint_decoder(Autoencoder(FLUX_AE).requires_grad_(False))
    z = torch.randn(1, 16, 8, 8)
    with torch.no_grad():
        assert peak(lambda: autoencoder.decode(z)) / 64**2 == pytest.approx(DECODE, rel=0.02)
    z.requires_grad_()
    most = peak(lambda: autoencoder.decode(z).sum().backward()) / 64**2
    assert most == pytest.approx(DECODE_WITH_GRADIENT, rel=0.02)
