"""The plan's phases: what the files' own types change, where things lie without a GPU, and what would save memory."""

from __future__ import annotations

import pytest
import torch
from comfyui_uso.mini.model import weight_files
from comfyui_uso.trainer.memory.advice import advice
from comfyui_uso.trainer.memory.plan import plan
from comfyui_uso.trainer.reading.recipe_files import RECIPES, load_recipe
from comfyui_uso.uso_model.checkpoints import save_transformer, write_safetensors
from comfyui_uso.uso_model.transformer import UsoTransformer

from .conftest import SIZES

T5 = {
    "shared.weight": (100, 32),
    "encoder.block.0.layer.0.SelfAttention.q.weight": (32, 32),
    "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight": (32, 4),
    "encoder.block.0.layer.0.layer_norm.weight": (32,),
}


def recipe(*changes, name="adapt_12gb"):
    return load_recipe(RECIPES / f"{name}.yaml", texts=changes)


def phases(*changes, **where):
    return {phase.name: phase for phase in plan(recipe(*changes), **where).phases}


def write(path, dtype):
    write_safetensors(path, {name: torch.ones(shape).to(dtype) for name, shape in T5.items()})
    return f"models.t5={path}"


def test_text_encoders_are_counted_as_their_file_stores_them(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")  # products in bfloat16
    matrices = 32 * 32 + 32 * 4
    for dtype, size in ((torch.float8_e4m3fn, 1), (torch.float16, 2), (torch.float32, 2)):
        file = write(tmp_path / f"{size} {dtype}.safetensors", dtype)
        held = phases(file)["encoding prompts"].gpu["T5"]
        assert held == 2 * (100 * 32 + 32) + size * matrices, dtype
        on_cpu = phases(file, device="cpu")["encoding prompts"]
        kept = 0 if dtype == torch.float32 else size * matrices
        assert on_cpu.mapped.get("T5's file", 0) == kept and on_cpu.ram["T5"] == held - kept


def test_prompts_go_where_they_find_room():
    roomy, full = phases(free=20e9)["encoding prompts"], phases(free=8e9)["encoding prompts"]
    assert roomy.on_gpu > 11e9 and not full.gpu and full.from_files > 9e9
    assert not phases("models.text_device=cpu")["encoding prompts"].gpu
    assert phases("models.text_device=cuda", free=8e9)["encoding prompts"].on_gpu > 11e9
    small = plan(recipe())
    assert small.encoding > 11e9 > 9e9 > small.gpu_needed, "prompts need not be encoded on the GPU"
    assert plan(recipe("models.text_device=cuda")).gpu_needed == small.encoding


def test_without_a_gpu_everything_is_ram(tmp_path):
    torch.manual_seed(0)
    save_transformer(tmp_path / "flux.safetensors", UsoTransformer(SIZES), "fp8")
    changes = [f"models.transformer={tmp_path / 'flux.safetensors'}", "memory.blocks_to_swap=1"]
    there = phases(*changes, "lora.start=continue", device="cpu")
    merged = phases(*changes, device="cpu")
    assert not any(phase.gpu for phase in there.values())
    file = (tmp_path / "flux.safetensors").stat().st_size
    assert there["reading FLUX"].mapped["FLUX's file"] == pytest.approx(file, rel=0.02)
    frozen = "frozen weights"
    assert there["training"].mapped["FLUX's file"] > 0.5 * file and frozen not in there["training"].ram
    assert merged["training"].ram[frozen] > 0.2 * file, "where a LoRA is added to a weight it is a copy"


def test_a_file_that_is_trained_on_tells_its_rank():
    file = weight_files()["lora"]
    planned = phases("lora.start=continue", f"models.lora={file}")["training"]
    of_128 = phases("lora.start=continue", "models.lora=absent.safetensors")["training"]
    key = "trained values and optimizer"
    assert planned.gpu[key] < 0.05 * of_128.gpu[key]


def test_advice_is_what_the_plan_would_save():
    config = recipe("memory.blocks_to_swap=0", "data.size=1024")
    told = advice(config)
    saved = [float(line.split()[-2]) for line in told]
    assert saved == sorted(saved, reverse=True) and told[0].startswith("memory.blocks_to_swap=57 saves ")
    changed = plan(recipe("memory.blocks_to_swap=57", "data.size=1024")).gpu_needed
    assert saved[0] == pytest.approx((plan(config).gpu_needed - changed) / 1e9, abs=0.06)
    prompts = advice(config, phase="encoding prompts")
    assert prompts == ["models.text_device=cpu saves 11.9 GB"]
    assert not any("blocks_to_swap=57" in line for line in advice(config, room="ram")), "it would cost RAM"
