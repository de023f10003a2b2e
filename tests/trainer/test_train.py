"""Every stage runs, trains only what it may, resumes exactly and exports what loads back."""

from __future__ import annotations

import json

import pytest
import torch
from comfyui_uso.trainer.adapters import add_lora, lora_of
from comfyui_uso.trainer.config import LoopConfig, load_config
from comfyui_uso.trainer.export import LORA, PROJECTOR, TRANSFORMER
from comfyui_uso.trainer.loop import learning_rate, run
from comfyui_uso.trainer.mini.cli import CONFIGS, STAGES
from comfyui_uso.trainer.mini.train import AutoencoderRun, EncoderRun
from comfyui_uso.trainer.train import TrainConfig, train
from comfyui_uso.uso_model.checkpoints import load_projector, load_transformer, merge_lora, read_lora, save_transformer
from torch import nn


def config(tmp_path, manifest, stage, **changes):
    loop = {"run_dir": tmp_path / stage, "steps": 4, "batch_size": 2, "learning_rate": 1e-2, "log_every": 1}
    return TrainConfig.model_validate(
        {
            "stage": stage,
            "manifests": [manifest],
            "cache": tmp_path / "cache",
            "out": tmp_path / f"out-{stage}",
            "lora_rank": 4,
            "loop": {**loop, **changes.pop("loop", {})},
            **changes,
        }
    )


def test_base_writes_a_flux_file_that_loads(tmp_path, manifest, tiny_encoders, tiny_transformer):
    before = tiny_transformer.img_in.weight.clone()
    train(config(tmp_path, manifest, "base"), tiny_encoders, lambda: tiny_transformer)
    trained = load_transformer(tmp_path / "out-base" / TRANSFORMER, torch.float32)
    assert not torch.allclose(trained.img_in.weight, before, atol=1e-3)
    assert torch.allclose(trained.img_in.weight, tiny_transformer.img_in.weight, atol=1e-3)


def test_style_trains_the_projector_only(tmp_path, manifest, tiny_encoders, tiny_transformer, tiny_projector):
    before = {name: p.clone() for name, p in tiny_transformer.named_parameters()}
    mixed = tiny_projector.high_embedding_linear[0].weight.clone()
    train(config(tmp_path, manifest, "style"), tiny_encoders, lambda: tiny_transformer, lambda: tiny_projector)
    assert all(torch.equal(before[name], p) for name, p in tiny_transformer.named_parameters())
    loaded = load_projector(tmp_path / "out-style" / PROJECTOR)
    assert not torch.allclose(loaded.high_embedding_linear[0].weight.float(), mixed, atol=1e-3)


@pytest.mark.parametrize("train_projector", [False, True])
def test_triplet_trains_lora_and_only_if_asked_the_projector(
    train_projector, tmp_path, manifest, tiny_encoders, tiny_transformer, tiny_projector
):
    base = tmp_path / "base.safetensors"
    save_transformer(base, tiny_transformer, "fp32")
    before = tiny_projector.high_projection.weight.clone()
    settings = config(tmp_path, manifest, "triplet", transformer=base, train_projector=train_projector)
    train(settings, tiny_encoders, fresh_projector=lambda: tiny_projector)
    lora = read_lora(tmp_path / "out-triplet" / LORA)
    assert len(lora.modules) == 6 and any(part.up.abs().max() > 0 for part in lora.modules.values())
    assert torch.equal(tiny_projector.high_projection.weight, before) != train_projector
    merge_lora(load_transformer(base, torch.float32), lora)  # raises when a module does not fit


def test_the_exported_lora_computes_what_was_trained(tmp_path, tiny_transformer):
    """The adapters in training and the merged file give the same function."""
    save_transformer(tmp_path / "base.safetensors", tiny_transformer, "fp32")
    add_lora(tiny_transformer, rank=4)
    for name, p in tiny_transformer.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(p, std=0.05)
    merged = load_transformer(tmp_path / "base.safetensors", torch.float32)
    merge_lora(merged, lora_of(tiny_transformer))
    inputs = {
        "img": torch.randn(2, 4, 64),
        "img_ids": torch.zeros(4, 3),
        "txt": torch.randn(2, 3, 8),
        "txt_ids": torch.zeros(3, 3),
        "timesteps": torch.rand(2),
        "y": torch.randn(2, 8),
        "guidance": torch.ones(2),
    }
    assert torch.allclose(tiny_transformer(**inputs), merged(**inputs), atol=1e-5)


def test_an_interrupted_run_ends_in_the_same_weights(
    tmp_path, manifest, tiny_encoders, tiny_projector, tiny_transformer
):
    base = tmp_path / "base.safetensors"
    save_transformer(base, tiny_transformer, "fp32")

    def go(name, steps):
        settings = config(
            tmp_path,
            manifest,
            "triplet",
            transformer=base,
            condition_dropout=0.5,
            out=tmp_path / f"out-{name}",
            loop={"run_dir": tmp_path / name, "steps": steps},
        )
        train(settings, tiny_encoders, fresh_projector=lambda: tiny_projector)
        return read_lora(tmp_path / f"out-{name}" / LORA)

    whole = go("whole", 6)
    go("halted", 3)
    resumed = go("halted", 6)
    for name, part in whole.modules.items():
        assert torch.equal(part.up, resumed.modules[name].up) and torch.equal(part.down, resumed.modules[name].down)


def test_a_loss_that_is_not_finite_stops_before_the_step(tmp_path):
    class Broken(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(1))

        def forward(self, batch, generator):
            return {"loss": (self.weight * float("nan")).sum()}

    broken = Broken()
    loop = LoopConfig(run_dir=tmp_path / "run", steps=3, batch_size=1, learning_rate=1.0)
    with pytest.raises(FloatingPointError, match="step 1 has loss nan"):
        run(loop, broken, lambda generator, count: None)
    assert torch.equal(broken.weight, torch.ones(1))


def test_the_log_has_a_line_per_step(tmp_path, manifest, tiny_encoders, tiny_transformer):
    train(config(tmp_path, manifest, "base"), tiny_encoders, lambda: tiny_transformer)
    lines = [json.loads(line) for line in (tmp_path / "base" / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3, 4] and all(line["loss"] > 0 for line in lines)


def test_the_learning_rate_warms_up_and_decays(tmp_path):
    loop = LoopConfig(run_dir=tmp_path, steps=100, batch_size=1, learning_rate=1.0, warmup=10, decay="cosine")
    rates = [learning_rate(loop, step) for step in range(100)]
    assert rates[0] == pytest.approx(0.1) and rates[10] == pytest.approx(1.0) and rates[99] < 0.001


@pytest.mark.parametrize("name", STAGES)
def test_every_recipe_is_valid(name):
    kind = {"autoencoder": AutoencoderRun, "encoders": EncoderRun}.get(name, TrainConfig)
    assert load_config(kind, CONFIGS / f"mini_{name}.yaml", ["loop.steps=7"]).loop.steps == 7


def test_a_misspelt_setting_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"mini_base.yaml.*loop.stepz"):
        load_config(TrainConfig, CONFIGS / "mini_base.yaml", ["loop.stepz=7"])
