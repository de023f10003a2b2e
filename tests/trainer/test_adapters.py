"""Branches start as USO's, carry a published LoRA exactly, and can be switched off."""

from __future__ import annotations

import pytest
import torch
from comfyui_uso.trainer.adapters import adapters_off, add_lora, load_into, lora_from_parameters
from comfyui_uso.uso_model.checkpoints import CheckpointError, Lora, LowRank, merge_lora
from comfyui_uso.uso_model.checkpoints.lora import concatenate, uso_modules
from comfyui_uso.uso_model.config import FLUX_DEV
from comfyui_uso.uso_model.transformer import UsoTransformer

from .conftest import TINY


def published(transformer, rank, scale=1.0, seed=4):
    generator = torch.Generator().manual_seed(seed)

    def noise(*shape):
        return 0.05 * torch.randn(*shape, generator=generator)

    modules = {}
    for name in uso_modules(TINY.depth, TINY.depth_single_blocks):
        out, width = transformer.get_submodule(name).weight.shape
        modules[name] = LowRank(noise(rank, width), noise(out, rank), scale)
    return Lora(modules)


def output(transformer):
    generator = torch.Generator().manual_seed(8)
    img, txt, y = (torch.randn(*shape, generator=generator) for shape in ((1, 4, 64), (1, 3, 8), (1, 8)))
    with torch.no_grad():
        ones = torch.ones(1)
        return transformer(img, torch.zeros(4, 3), txt, torch.zeros(3, 3), 0.5 * ones, y, ones)


def test_new_branches_change_nothing_and_are_usos(tiny_transformer):
    before = output(tiny_transformer)
    add_lora(tiny_transformer, rank=64, seed=1)
    assert torch.equal(output(tiny_transformer), before)
    trained = {name: p for name, p in tiny_transformer.named_parameters() if p.requires_grad}
    assert len(trained) == 2 * len(uso_modules(TINY.depth, TINY.depth_single_blocks)) and all(
        "lora_" in n for n in trained
    )
    downs = torch.cat([p.flatten() for name, p in trained.items() if "lora_A" in name])
    assert downs.std().item() == pytest.approx(1 / 64, rel=0.02) and abs(downs.mean()) < 1e-3


def test_a_published_lora_becomes_the_branches(tiny_transformer):
    lora = published(tiny_transformer, 4, scale=0.5)
    merged = output_of_merged(tiny_transformer, lora)
    load_into(tiny_transformer, lora)
    assert torch.allclose(output(tiny_transformer), merged, atol=1e-5)
    again = lora_from_parameters(dict(tiny_transformer.named_parameters()))
    assert all(torch.equal(part.up, 0.5 * lora.modules[name].up) for name, part in again.modules.items())
    with adapters_off(tiny_transformer):
        plain = output(tiny_transformer)
    assert not torch.allclose(plain, merged, atol=1e-3)
    assert torch.allclose(output(tiny_transformer), merged, atol=1e-5), "switched on again"


def output_of_merged(transformer, *loras):
    state = {name: p.clone() for name, p in transformer.state_dict().items()}
    for lora in loras:
        merge_lora(transformer, lora)
    found = output(transformer)
    transformer.load_state_dict(state)
    return found


def test_the_published_shapes_at_full_size():
    """On the meta device: rank 128 on FLUX.1-dev has 304 tensors with 239,075,328 values, as the released file."""
    with torch.device("meta"):
        transformer = UsoTransformer(FLUX_DEV)
    add_lora(transformer, rank=128)
    lora = lora_from_parameters(dict(transformer.named_parameters()))
    assert len(lora.modules) == 152 and lora.parameters == 239_075_328
    shapes = {name: (tuple(part.down.shape), tuple(part.up.shape)) for name, part in lora.modules.items()}
    assert shapes["double_blocks.18.txt_attn.qkv"] == ((128, 3072), (9216, 128))
    assert shapes["single_blocks.37.linear1_qkv"] == ((128, 3072), (9216, 128))
    assert shapes["single_blocks.37.linear2"] == ((128, 15360), (3072, 128))


def test_concatenation_is_exact(tiny_transformer):
    first, second = published(tiny_transformer, 4, 0.5, seed=1), published(tiny_transformer, 2, 2.0, seed=2)
    del second.modules["single_blocks.0.linear2"]
    both = concatenate(first, second)
    assert {part.rank for part in both.modules.values()} == {4, 6} and all(p.scale == 1 for p in both.modules.values())
    apart = output_of_merged(tiny_transformer, first, second)
    assert torch.allclose(output_of_merged(tiny_transformer, both), apart, atol=1e-5)


def test_what_is_no_uso_lora_is_refused(tiny_transformer):
    lora = published(tiny_transformer, 4)
    part = lora.modules["single_blocks.0.linear2"]
    lora.modules["single_blocks.0.linear2"] = LowRank(part.down[:3], part.up[:, :3])
    with pytest.raises(CheckpointError, match=r"ranks \[3, 4\], expected one rank"):
        load_into(tiny_transformer, lora)
    lora.modules["single_blocks.0.linear2"] = LowRank(part.down[:, :7], part.up)
    with pytest.raises(CheckpointError, match=r"factor of single_blocks.0.linear2 has shape \(4, 7\)"):
        load_into(tiny_transformer, lora)
