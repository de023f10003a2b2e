"""What the trainer starts from, and what it exports, adds to each weight what stock ComfyUI's own reader adds."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import comfy.lora
import comfy.lora_convert
import comfy.utils
import pytest
import torch
from comfyui_uso.trainer.export.files import Writer
from comfyui_uso.trainer.export.names import OWN, file_name
from comfyui_uso.trainer.lora.adapters import ADAPTER, add_lora, load_into, lora_from_parameters, lora_layers
from comfyui_uso.trainer.lora.layers import chosen_layers
from comfyui_uso.trainer.memory import load
from comfyui_uso.trainer.settings.lora import LoraSettings
from comfyui_uso.uso_model.checkpoints import read_safetensors, save_transformer, to_bfl
from comfyui_uso.uso_model.checkpoints.lora import concatenate
from comfyui_uso.uso_model.checkpoints.lora_files import lora_from_state_dict
from comfyui_uso.uso_model.config import FLUX_DEV
from comfyui_uso.uso_model.transformer import UsoTransformer

from .conftest import HIDDEN
from .lora_layouts import LAYOUTS, Weights, factors

SIZES = FLUX_DEV.__class__(
    **{
        **vars(FLUX_DEV),
        "vec_in_dim": 32,
        "context_in_dim": 48,
        "hidden_size": HIDDEN,
        "num_heads": 4,
        "depth": 2,
        "depth_single_blocks": 2,
        "axes_dim": (4, 6, 6),
    }
)


def stock(model: Any, weights: Mapping[str, torch.Tensor]) -> Weights:
    """Return what stock ComfyUI's Load LoRA adds to each weight."""
    known = comfy.lora.model_lora_keys_unet(model.model, {})
    patched = model.clone()
    patched.add_patches(comfy.lora.load_lora(comfy.lora_convert.convert_lora(dict(weights)), known), 1.0)
    out = {}
    for key, patches in patched.patches.items():
        weight = torch.zeros_like(comfy.utils.get_attr(model.model, key))
        out[key.removeprefix("diffusion_model.")] = comfy.lora.calculate_weight(patches, weight, key)
    return out


def trained(network: UsoTransformer) -> Weights:
    """Return what a network's branches add to each of BFL's weights."""
    branches = {
        name: layer.scaling[ADAPTER] * layer.lora_B[ADAPTER].weight @ layer.lora_A[ADAPTER].weight
        for name, layer in lora_layers(network).items()
    }
    out: Weights = {}
    for name, change in branches.items():
        if ".linear1_" in name:
            stem = name.rpartition("_")[0]
            halves = [(f"{stem}_qkv", 3 * HIDDEN), (f"{stem}_mlp", 4 * HIDDEN)]
            out[f"{stem}.weight"] = torch.cat([branches.get(half, torch.zeros(r, HIDDEN)) for half, r in halves])
        else:
            out[f"{name}.weight"] = change
    return out


def require_same(found: Weights, wanted: Weights) -> None:
    assert found.keys() == wanted.keys() and found
    assert all(torch.allclose(found[name], change, atol=1e-4) for name, change in wanted.items())


@pytest.mark.parametrize("alpha", [None, 2.0])
@pytest.mark.parametrize("layout", ["kohya", "diffusers", "PEFT", "transformer", "diffusion_model"])
def test_a_lora_of_another_trainer_is_trained_on_as_comfyui_reads_it(
    layout: str, alpha: float | None, base_model: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def written(form: str) -> Weights:
        weights = LAYOUTS[form](factors(3))
        stems = {key.rpartition(".lora_")[0] for key in weights} if alpha is not None else ()
        return weights | {f"{stem}.alpha": torch.tensor(alpha) for stem in stems}

    network = UsoTransformer(SIZES)
    load_into(network, lora_from_state_dict(written(layout), "x"))
    # Two layouts that trainers write are ones that stock ComfyUI leaves out; they mean what the others do.
    theirs = "diffusion_model" if layout in ("PEFT", "transformer") else layout
    require_same(trained(network), stock(base_model, written(theirs)))
    assert not caplog.records


@pytest.mark.parametrize(
    "settings",
    [
        {"layers": ["qkv", "proj"], "blocks": "d0, s1"},
        {"layers": ["mlp", "linear2"], "alpha": 2.5},
        {"layers": ["all"], "alpha": 7.0},
        {"layers": ["linear1", "img_in", "final_layer"]},
        {"alpha": 3.0},
    ],
)
@pytest.mark.parametrize("beside", [False, True])
def test_partial_loras_and_alpha_load_whole(
    settings: dict[str, Any], beside: bool, base_model: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    chosen, network = LoraSettings(rank=4, **settings), UsoTransformer(SIZES)
    add_lora(network, chosen.new_rank, layers=chosen_layers(chosen, SIZES), alpha=chosen.alpha)
    for layer in lora_layers(network).values():
        torch.nn.init.normal_(layer.lora_B[ADAPTER].weight)
    lora, wanted = lora_from_parameters(dict(network.named_parameters()), chosen.alpha), trained(network)
    if beside:
        other = LAYOUTS["kohya"](factors(2))
        lora = concatenate(lora_from_state_dict(other, "x"), lora)
        added = stock(base_model, other)
        wanted = {k: sum(part[k] for part in (wanted, added) if k in part) for k in wanted | added}
    files = Writer(tmp_path, "x", 7, {}, torch.float32)
    files.lora(OWN, lora, {})
    weights = read_safetensors(tmp_path / file_name("x", 7, OWN))
    assert f"{len(weights)}/{len(weights)} keys map in ComfyUI" in files.told[0]
    with caplog.at_level(logging.WARNING):
        require_same(stock(base_model, weights), wanted)
    assert not caplog.records, "no key may be left unloaded"


@pytest.mark.parametrize("layers", [None, ["qkv"]])
def test_the_mark_of_isolated_references_changes_no_weight(
    layers: list[str] | None, base_model: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    network = UsoTransformer(SIZES)
    add_lora(network, 4, layers=chosen_layers(LoraSettings(rank=4, layers=layers), SIZES))
    lora = replace(lora_from_parameters(dict(network.named_parameters())), isolated=True)
    files = Writer(tmp_path, "x", 7, {}, torch.float32)
    files.lora(OWN, lora, {})
    weights = read_safetensors(tmp_path / file_name("x", 7, OWN))
    assert f"{len(weights)}/{len(weights)} keys map in ComfyUI" in files.told[0]
    with caplog.at_level(logging.WARNING):
        found = stock(base_model, weights)
    assert not caplog.records, "no key may be left unloaded, and none may have another shape"
    changed = torch.ones(len(found["final_layer.linear.bias"]), dtype=torch.bfloat16)
    assert torch.equal(changed + found["final_layer.linear.bias"].to(changed), changed)
    assert found["final_layer.linear.bias"].abs().max() < 1e-20


def test_a_lora_of_another_trainer_is_added_to_the_base_as_comfyui_adds_it(
    base_model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load, "flux_config_from", lambda plain, name: SIZES)  # its heads are smaller than FLUX's
    weights, network = LAYOUTS["kohya"](factors(1, whole=True)), UsoTransformer(SIZES)
    save_transformer(tmp_path / "base.safetensors", network, "fp32")
    merged = load.load_frozen(tmp_path / "base.safetensors", "fp32", lora=lora_from_state_dict(weights, "x"))
    before, after = (to_bfl(part.state_dict()) for part in (network, merged))
    wanted = stock(base_model, weights)
    require_same({name: after[name] - before[name] for name in wanted}, wanted)
    assert all(torch.equal(after[name], before[name]) for name in before.keys() - wanted.keys())
