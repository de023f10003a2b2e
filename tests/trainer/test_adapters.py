"""Branches start as USO's, carry a published LoRA exactly, and can be switched off."""

from __future__ import annotations

import copy

import pytest
import torch
from comfyui_uso.trainer.engine.randomness import StepRandom
from comfyui_uso.trainer.lora.adapters import adapters_off, add_lora, load_into, lora_from_parameters, lora_layers
from comfyui_uso.trainer.lora.dropout import BranchDropout
from comfyui_uso.trainer.lora.layers import chosen_layers, layer_names, require_no_modulation
from comfyui_uso.trainer.memory.checkpointing import checkpoint_blocks
from comfyui_uso.trainer.settings.lora import LoraSettings
from comfyui_uso.uso_model.checkpoints import CheckpointError, Lora, LowRank, merge_lora
from comfyui_uso.uso_model.checkpoints.lora import concatenate, uso_modules
from comfyui_uso.uso_model.config import FLUX_DEV
from comfyui_uso.uso_model.errors import UserError
from comfyui_uso.uso_model.transformer import UsoTransformer
from pydantic import ValidationError

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


def output(transformer, grad=False):
    generator = torch.Generator().manual_seed(8)
    img, txt, y = (torch.randn(*shape, generator=generator) for shape in ((1, 4, 64), (1, 3, 8), (1, 8)))
    with torch.set_grad_enabled(grad):
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


def test_each_layer_keeps_its_rank_and_a_misfit_is_refused(tiny_transformer):
    lora = published(tiny_transformer, 4)
    part = lora.modules["single_blocks.0.linear2"]
    lora.modules["single_blocks.0.linear2"] = LowRank(part.down[:3], part.up[:, :3])
    del lora.modules["single_blocks.0.linear1_qkv"]
    network = copy.deepcopy(tiny_transformer)
    load_into(network, lora)
    assert {name: layer.r["default"] for name, layer in lora_layers(network).items()} == {
        name: part.rank for name, part in lora.modules.items()
    }
    assert torch.allclose(output(network), output_of_merged(tiny_transformer, lora), atol=1e-5)
    lora.modules["single_blocks.0.linear2"] = LowRank(part.down[:, :7], part.up)
    with pytest.raises(CheckpointError, match=r"misshapen module \(single_blocks.0.linear2: got \(128, 7\)"):
        load_into(tiny_transformer, lora)
    lora.modules["single_blocks.7.linear2"] = part
    with pytest.raises(CheckpointError, match=r"unknown module \(single_blocks.7.linear2\)"):
        load_into(tiny_transformer, lora)


def test_alpha_scales_the_branches_and_what_is_exported(tiny_transformer):
    lora = published(tiny_transformer, 4, scale=0.5)
    merged = output_of_merged(tiny_transformer, lora)
    load_into(tiny_transformer, lora, alpha=1.0)
    assert {layer.scaling["default"] for layer in lora_layers(tiny_transformer).values()} == {0.25}
    assert torch.allclose(output(tiny_transformer), merged, atol=1e-5)
    again = lora_from_parameters(dict(tiny_transformer.named_parameters()), alpha=1.0)
    assert all(torch.equal(part.up, 0.5 * lora.modules[name].up) for name, part in again.modules.items())


def test_new_branches_of_other_layers(tiny_transformer):
    settings = LoraSettings(rank=3, alpha=6, layers=["img_mlp", "linear1", "final_layer"])
    layers = chosen_layers(settings, TINY)
    add_lora(tiny_transformer, 3, layers=layers, alpha=settings.alpha)
    found = lora_layers(tiny_transformer)
    assert set(found) == set(layers) and {(x.r["default"], x.scaling["default"]) for x in found.values()} == {(3, 2.0)}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, 152),
        ({"layers": "uso", "blocks": "d0-18, s0-37"}, 152),
        ({"blocks": "double 0-18"}, 76),
        ({"blocks": ["single 7, 20", "d3"]}, 8),
        ({"layers": ["qkv"]}, 38 + 38),
        ({"layers": "img_attn, txt_attn"}, 4 * 19),
        ({"layers": ["qkv"], "blocks": "s7,20"}, 2),
        ({"layers": ["img_attn.qkv", "img_attn.qkv"]}, 19),
        ({"layers": ["mlp"]}, 4 * 19 + 38),
        ({"layers": ["img_mlp.0"], "blocks": "d0"}, 1),
        ({"layers": ["linear1", "linear2"]}, 3 * 38),
        ({"layers": ["modulation", "mod"]}, 2 * 19 + 38),
        ({"layers": ["double_blocks.4.img_attn.proj", "img_in", "final_layer"]}, 4),
        ({"layers": ["all"]}, 10 * 19 + 4 * 38),
    ],
)
def test_layers_and_blocks_are_chosen_by_name(given, expected):
    found = chosen_layers(LoraSettings(**given), FLUX_DEV)
    assert len(found) == len(set(found)) == expected


def test_the_names_of_the_layers_are_those_of_the_network(tiny_transformer):
    linear = {name for name, module in tiny_transformer.named_modules() if isinstance(module, torch.nn.Linear)}
    assert linear == set(layer_names(TINY.depth, TINY.depth_single_blocks))
    assert chosen_layers(LoraSettings(), TINY) == [n for n in layer_names(1, 1) if n in uso_modules(1, 1)]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"layers": ["to_q"]}, "got lora.layers 'to_q', expected uso, all, .*qkv"),
        ({"layers": [""]}, "got lora.layers ''"),
        ({"layers": ["img_mlp"], "blocks": "s0"}, "no layer is left: img_mlp has none in the blocks s0"),
        ({"blocks": "d1"}, "Got 'd1' in lora.blocks, but the model has d0 to d0"),
        ({"blocks": "x3"}, "Got 'x3' in blocks, expected parts such as d0-18, s7"),
        ({"blocks": "3"}, "Got '3' in blocks"),
        ({"blocks": ""}, "names no block"),
        ({"start": "continue", "layers": ["qkv"]}, "continue trains the layers that its file adapts"),
    ],
)
def test_layers_that_are_not_there_are_refused(given, message):
    with pytest.raises((UserError, ValidationError), match=message):
        chosen_layers(LoraSettings(**given), TINY)


def test_layers_at_modulation_in_ram_are_refused():
    require_no_modulation(["double_blocks.0.img_attn.qkv", "final_layer.linear"])
    for name in ("double_blocks.0.img_mod.lin", "single_blocks.0.modulation.lin", "vector_in.in_layer"):
        with pytest.raises(UserError, match=r"set memory\.modulation to resident"):
            require_no_modulation([name])


@pytest.mark.parametrize("share", [{"values": 0.5, "ranks": 0.0}, {"values": 0.0, "ranks": 0.5}])
def test_dropout_is_drawn_by_step_alone_and_only_with_a_gradient(share, tiny_transformer):
    load_into(tiny_transformer, published(tiny_transformer, 8))
    whole = output(tiny_transformer)
    dropout = BranchDropout({n: x.lora_A["default"] for n, x in lora_layers(tiny_transformer).items()}, **share)

    def trained(step, first=0):
        dropout.draw(StepRandom(0, step, first, 1))
        return output(tiny_transformer, grad=True)

    one = trained(1)
    assert torch.equal(one, trained(1, first=3)) and not torch.equal(one, trained(2)) and not torch.equal(one, whole)
    assert torch.equal(output(tiny_transformer), whole), "samples and validation use the whole branch"


def test_dropout_beside_recomputed_blocks_has_the_same_gradient(tiny_transformer):
    def gradients(network, checkpointing):
        load_into(network, lora)
        dropout = BranchDropout({n: x.lora_A["default"] for n, x in lora_layers(network).items()}, 0.3, 0.3)
        dropout.draw(StepRandom(0, 5, 0, 1))
        if checkpointing:
            checkpoint_blocks(network)
        output(network, grad=True).square().mean().backward()
        return [p.grad for p in network.parameters() if p.grad is not None]

    lora = published(tiny_transformer, 8)
    plain, again = (gradients(copy.deepcopy(tiny_transformer), flag) for flag in (False, True))
    assert len(plain) == 2 * len(lora.modules)
    assert all(torch.equal(a, b) for a, b in zip(plain, again, strict=True))
