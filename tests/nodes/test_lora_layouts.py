"""Every layout of a LoRA's keys: the same change of the weights, in ComfyUI and read by the trainer."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import comfy.lora
import comfy.utils
import pytest
import torch
from comfyui_uso.nodes.graph.lora import with_lora
from comfyui_uso.uso_model.checkpoints.kinds import kind_of
from comfyui_uso.uso_model.checkpoints.lora_files import lora_from_state_dict
from comfyui_uso.uso_model.errors import UserError

from .conftest import HIDDEN
from .lora_layouts import LAYOUTS, MLP, RANK, USO_LAYOUTS, Factors, Weights, factors, named


def deltas(model: Any, weights: Mapping[str, torch.Tensor], **options: Any) -> Weights:
    """Return what a LoRA adds to each weight in ComfyUI."""
    patched = with_lora(model, weights, 1.0, "x.safetensors", **options)
    return {key.removeprefix("diffusion_model."): _change(model, key, p) for key, p in patched.patches.items()}


def _change(model: Any, key: str, patches: Any) -> torch.Tensor:
    weight = comfy.utils.get_attr(model.model, key)
    return comfy.lora.calculate_weight(patches, weight.clone(), key) - weight


def expected(lora: Factors) -> Weights:
    """Return what factors add to each weight of BFL's."""
    out = {}
    for layer, (down, up) in lora.items():
        change = up @ down
        if layer.endswith("linear1_qkv"):
            layer, change = layer.removesuffix("_qkv"), torch.cat([change, torch.zeros(MLP, HIDDEN)])
        out[f"{layer}.weight"] = change
    return out


def read(weights: Mapping[str, torch.Tensor]) -> Weights:
    """Return what a LoRA adds to each weight as the trainer reads it."""
    modules = lora_from_state_dict(weights, "x").modules
    out = {}
    for layer, adapter in modules.items():
        if ".linear1_" in layer:
            name = layer.rpartition("_")[0]
            halves = [modules.get(f"{name}_{part}") for part in ("qkv", "mlp")]
            rows = (3 * HIDDEN, MLP)
            pairs = zip(halves, rows, strict=True)
            out[f"{name}.weight"] = torch.cat([torch.zeros(r, HIDDEN) if h is None else h.delta() for h, r in pairs])
        else:
            out[f"{layer}.weight"] = adapter.delta()
    return out


def require_same(found: Weights, wanted: Weights) -> None:
    assert found.keys() == wanted.keys()
    for name, change in wanted.items():
        assert torch.allclose(found[name], change, atol=1e-4), name


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_changes_the_same(layout: str, base_model: Any, caplog: pytest.LogCaptureFixture) -> None:
    for seed in range(4):
        lora = factors(seed)
        weights = LAYOUTS[layout](lora)
        assert kind_of(weights) == "lora"
        require_same(deltas(base_model, weights), expected(lora))
        require_same(read(weights), expected(lora))
    assert not caplog.records


@pytest.mark.parametrize("layout", USO_LAYOUTS)
def test_layouts_of_the_layers_that_uso_adapts(layout: str, base_model: Any, caplog: pytest.LogCaptureFixture) -> None:
    for seed in range(4):
        lora = factors(seed, uso=True)
        weights = USO_LAYOUTS[layout](lora)
        assert (kind_of(weights) == "uso_lora") == layout.startswith("USO")
        require_same(deltas(base_model, weights), expected(lora))
        require_same(read(weights), expected(lora))
    assert not caplog.records


@pytest.mark.parametrize("layout", ["bare", "kohya", "PEFT"])
def test_alpha_counts_in_every_layout(layout: str, base_model: Any) -> None:
    lora = factors(1)
    weights = LAYOUTS[layout](lora)
    for key in list(weights):
        stem = next((key.removesuffix(end) for end in (".lora_B.weight", ".lora_up.weight") if key.endswith(end)), None)
        if stem is not None:
            weights[f"{stem}.alpha"] = torch.tensor(2 * RANK)
    twice = {name: 2 * change for name, change in expected(lora).items()}
    require_same(deltas(base_model, weights), twice)
    require_same(read(weights), twice)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float8_e4m3fn])
def test_low_precision_is_read(dtype: torch.dtype, base_model: Any) -> None:
    lora = {name: tuple(t.to(dtype) for t in pair) for name, pair in factors(2).items()}
    wide = {name: tuple(t.float() for t in pair) for name, pair in lora.items()}
    require_same(deltas(base_model, LAYOUTS["bare"](lora)), expected(wide))


@pytest.mark.parametrize(
    "parts",
    [
        {"lokr_w1": (4, 4), "lokr_w2_a": (HIDDEN // 4, 2), "lokr_w2_b": (2, HIDDEN // 4)},
        {f"hada_w{n}_{side}": {"a": (HIDDEN, 2), "b": (2, HIDDEN)}[side] for n in (1, 2) for side in "ab"},
        {"lora_A.weight": (2, HIDDEN), "lora_B.weight": (HIDDEN, 2), "dora_scale": (HIDDEN, 1)},
        {"diff": (HIDDEN, HIDDEN), "diff_b": (HIDDEN,)},
    ],
    ids=["LoKr", "LoHa", "DoRA", "diff"],
)
def test_other_adapters_are_comfyuis_own(parts: dict[str, tuple[int, ...]], base_model: Any) -> None:
    """Their names are brought to the one that ComfyUI knows, and the trainer's reader says what they are."""
    generator, layer = torch.Generator().manual_seed(5), "double_blocks.0.img_attn.proj"
    made = {name: torch.randn(shape, generator=generator) for name, shape in parts.items()}
    theirs = {f"diffusion_model.{layer}.{name}": tensor for name, tensor in made.items()}
    known = comfy.lora.model_lora_keys_unet(base_model.model, {})
    core = base_model.clone()
    core.add_patches(comfy.lora.load_lora(theirs, known), 1.0)
    wanted = {key.removeprefix("diffusion_model."): _change(base_model, key, p) for key, p in core.patches.items()}
    for prefix in ("", "base_model.model.", "lora_unet_"):
        name = layer.replace(".", "_") if prefix == "lora_unet_" else layer
        ours = {f"{prefix}{name}.{part}": tensor for part, tensor in made.items()}
        require_same(deltas(base_model, ours), wanted)
        if "diff" not in parts:
            assert kind_of(ours) == "lora"
        with pytest.raises(UserError, match=r"LoKr, LoHa, DoRA or similar keys? \(double_blocks\.0\.img_attn\.proj\."):
            lora_from_state_dict(ours, "x")


def test_the_scale_of_a_dora_in_peft_is_a_vector(base_model: Any) -> None:
    layer = "double_blocks.0.img_attn.proj"
    pair = {f"{layer}.lora_A.weight": torch.randn(2, HIDDEN), f"{layer}.lora_B.weight": torch.randn(HIDDEN, 2)}
    scale = torch.rand(HIDDEN)
    column = deltas(base_model, {**pair, f"{layer}.dora_scale": scale[:, None]})
    for key in (f"{layer}.lora_magnitude_vector", f"base_model.model.{layer}.lora_magnitude_vector.default.weight"):
        require_same(deltas(base_model, {**pair, key: scale}), column)


def test_partly_known_files_say_what_was_left_out(base_model: Any, caplog: pytest.LogCaptureFixture) -> None:
    lora = factors(3, whole=True)
    weights = LAYOUTS["kohya"](lora)
    weights |= {"lora_te1_text_model_encoder_layers_0_mlp_fc1.lora_down.weight": torch.ones(2, 2)}
    weights |= {f"lora_unet_double_blocks_7_img_mlp_0.lora_{side}.weight": torch.ones(2, 2) for side in ("down", "up")}
    with caplog.at_level(logging.WARNING):
        require_same(deltas(base_model, weights), expected(lora))
    (record,) = caplog.records
    whole = 2 * len(lora)
    assert record.getMessage() == (
        f"x.safetensors: {whole} of {whole + 3} keys applied, in {len(lora)} layers; left out: "
        "double_blocks.7.img_mlp.0, lora_te1_text_model_encoder_layers_0_mlp_fc1.lora_down.weight"
    )


def test_a_layer_that_is_torn_or_of_another_size_is_left_out(base_model: Any, caplog: pytest.LogCaptureFixture) -> None:
    lora = factors(3, whole=True)
    weights = LAYOUTS["bare"](lora)
    del weights["double_blocks.0.img_attn.qkv.lora_A.weight"]
    weights["double_blocks.1.img_attn.qkv.lora_A.weight"] = torch.ones(RANK, 2 * HIDDEN)
    weights["double_blocks.1.txt_attn.qkv.alpha"] = torch.ones(2)
    left = {f"double_blocks.{n}.{name}_attn.qkv" for n, name in ((0, "img"), (1, "img"), (1, "txt"))}
    require_same(deltas(base_model, weights), expected({k: v for k, v in lora.items() if k not in left}))
    (record,) = caplog.records
    assert all(name in record.getMessage() for name in left)


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        (named("lora_te1_{_}.lora_{side}.weight")(factors(0)), "changes text encoders only"),
        (
            named("{layer}.lora_{ab}.weight")({"down_blocks.0.x": factors(0, True)["single_blocks.0.linear1"]}),
            "none of",
        ),
        (
            named("{layer}.lora_{ab}.weight")({"double_blocks.0.img_mlp.0": (torch.ones(2, 7), torch.ones(9, 2))}),
            r"fits none of .*double_blocks\.0\.img_mlp\.0: made for 9 x 7, the layer has 256 x 64",
        ),
        ({"double_blocks.0.img_mlp.0.lora_A.weight": torch.ones(2, 64)}, "a part is missing"),
        ({"a.lora_A.weight": torch.full((2, 2), float("nan"))}, "not finite"),
        ({"a.lora_A.weight": torch.ones(2, 2).int()}, "int32"),
    ],
    ids=["text encoders", "another model", "another size", "torn", "NaN", "whole numbers"],
)
def test_a_lora_of_no_use_is_one_sentence(weights: Weights, words: str, base_model: Any) -> None:
    with pytest.raises(UserError, match=rf"\Ax\.safetensors [^\n]*{words}[^\n]*\.\Z"):
        deltas(base_model, weights)


def test_blocks_and_bfls_control_loras_stay_as_they_are(base_model: Any) -> None:
    """BFL's Canny and Depth LoRAs have bare names and widen the first layer, as ComfyUI alone would do it."""
    control = LAYOUTS["bare"](factors(4))
    control |= {"img_in.lora_A.weight": torch.randn(2, 128), "img_in.lora_B.weight": torch.randn(HIDDEN, 2)}
    control |= {"single_blocks.0.norm.key_norm.scale": torch.rand(16), "img_in.lora_B.bias": torch.rand(HIDDEN)}
    core = base_model.clone()
    known = comfy.lora.model_lora_keys_unet(base_model.model, {})
    core.add_patches(comfy.lora.load_lora(comfy.lora_convert.convert_lora(control), known), 1.0)
    ours = with_lora(base_model, control, 1.0, "x")
    assert core.patches.keys() <= ours.patches.keys()
    widened = "diffusion_model.img_in.weight"
    shapes = [comfy.lora.calculate_shape(m.patches[widened], torch.ones(HIDDEN, 64), widened) for m in (core, ours)]
    assert shapes == [(HIDDEN, 128)] * 2
