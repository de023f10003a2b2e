"""FLUX files: names, prefixes, precisions, refusals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from comfyui_uso.uso_model.checkpoints.files import read_safetensors, write_safetensors
from comfyui_uso.uso_model.checkpoints.flux import (
    flux_config_from,
    from_bfl,
    load_transformer,
    save_transformer,
    to_bfl,
)
from comfyui_uso.uso_model.checkpoints.strict import CheckpointError
from comfyui_uso.uso_model.config import FLUX_DEV, FLUX_SCHNELL, FluxConfig
from torch import Tensor

Weights = dict[str, Tensor]


def _equal(a: Weights, b: Weights) -> bool:
    return a.keys() == b.keys() and all(a[name].dtype == b[name].dtype and torch.equal(a[name], b[name]) for name in a)


@pytest.fixture
def path(tmp_path: Path, tiny_flux: Weights) -> Path:
    write_safetensors(tmp_path / "tiny.safetensors", tiny_flux)
    return tmp_path / "tiny.safetensors"


def test_split_and_fuse_are_exact_inverses(tiny_flux: Weights) -> None:
    split = from_bfl(tiny_flux)
    assert split["single_blocks.1.linear1_qkv.weight"].shape == (384, 128)
    assert split["single_blocks.1.linear1_mlp.bias"].shape == (256,)
    assert not any(".linear1." in name for name in split)
    assert _equal(to_bfl(split), tiny_flux)


def test_half_a_pair_is_refused(tiny_flux: Weights) -> None:
    split = from_bfl(tiny_flux)
    del split["single_blocks.0.linear1_mlp.bias"]
    with pytest.raises(CheckpointError, match=r"linear1_qkv\.bias cannot be fused"):
        to_bfl(split)
    del tiny_flux["single_blocks.1.linear1.weight"]
    with pytest.raises(CheckpointError, match=r"single_blocks\.1\.linear1 has no weight"):
        from_bfl(tiny_flux)


@pytest.mark.parametrize("config", [FLUX_DEV, FLUX_SCHNELL])
def test_sizes_of_the_real_models(flux_shapes: Callable, config: FluxConfig) -> None:
    weights = {name: torch.empty(shape, device="meta") for name, shape in flux_shapes(config).items()}
    assert flux_config_from(weights) == config
    assert flux_config_from(from_bfl(weights)) == config


@pytest.mark.parametrize("mlp_size", [100, 127, 512, 1000])
def test_any_mlp_size_survives_the_ratio(tiny: FluxConfig, tiny_flux: Weights, mlp_size: int) -> None:
    tiny_flux["double_blocks.0.img_mlp.0.weight"] = torch.empty(mlp_size, 128, device="meta")
    assert flux_config_from(tiny_flux).mlp_size == mlp_size


def test_load(path: Path, tiny: FluxConfig, tiny_flux: Weights) -> None:
    model = load_transformer(path)
    assert model.config == tiny and not model.training
    assert _equal(to_bfl(model.state_dict()), tiny_flux)


@pytest.mark.parametrize("prefix", ["model.diffusion_model.", "diffusion_model."])
def test_only_the_prefixed_part_of_a_checkpoint_is_taken(tmp_path: Path, tiny_flux: Weights, prefix: str) -> None:
    whole = {f"{prefix}{name}": tensor for name, tensor in tiny_flux.items()}
    whole |= {"vae.encoder.conv_in.weight": torch.zeros(1), "text_encoders.t5xxl.logit_scale": torch.zeros(1)}
    write_safetensors(tmp_path / "all.safetensors", whole)
    assert _equal(to_bfl(load_transformer(tmp_path / "all.safetensors").state_dict()), tiny_flux)


def test_norm_names_as_comfyui_saves_them(tmp_path: Path, tiny_flux: Weights) -> None:
    renamed = {name.replace("_norm.scale", "_norm.weight"): tensor for name, tensor in tiny_flux.items()}
    write_safetensors(tmp_path / "saved.safetensors", renamed)
    assert _equal(to_bfl(load_transformer(tmp_path / "saved.safetensors").state_dict()), tiny_flux)


def test_dtype_is_the_files_unless_told(tmp_path: Path, tiny_flux: Weights) -> None:
    write_safetensors(tmp_path / "half.safetensors", {name: tensor.half() for name, tensor in tiny_flux.items()})
    kept = load_transformer(tmp_path / "half.safetensors")
    assert {p.dtype for p in kept.parameters()} == {torch.float16}
    told = load_transformer(tmp_path / "half.safetensors", torch.bfloat16)
    assert {p.dtype for p in told.parameters()} == {torch.bfloat16}


@pytest.mark.parametrize(
    ("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16), ("fp16", torch.float16)]
)
def test_save_and_load(tmp_path: Path, path: Path, tiny_flux: Weights, precision: str, dtype: torch.dtype) -> None:
    model = load_transformer(path)
    save_transformer(tmp_path / "out.safetensors", model, precision, metadata={"base": "tiny"})  # type: ignore[arg-type]
    expected = {name: tensor.to(dtype) for name, tensor in tiny_flux.items()}
    assert _equal(read_safetensors(tmp_path / "out.safetensors"), expected)


def test_save_with_a_prefix(tmp_path: Path, path: Path, tiny_flux: Weights) -> None:
    save_transformer(tmp_path / "out.safetensors", load_transformer(path), "fp32", prefix="model.diffusion_model.")
    assert all(name.startswith("model.diffusion_model.") for name in read_safetensors(tmp_path / "out.safetensors"))
    assert _equal(to_bfl(load_transformer(tmp_path / "out.safetensors").state_dict()), tiny_flux)


def test_unknown_precision_is_refused(tmp_path: Path, path: Path) -> None:
    with pytest.raises(ValueError, match="unknown precision 'int4'"):
        save_transformer(tmp_path / "out.safetensors", load_transformer(path), "int4")  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["img_in.weight", "txt_in.bias", "single_blocks.1.norm.key_norm.scale"])
def test_one_key_removed(tmp_path: Path, tiny_flux: Weights, name: str) -> None:
    del tiny_flux[name]
    write_safetensors(tmp_path / "broken.safetensors", tiny_flux)
    with pytest.raises(CheckpointError, match=rf"broken\.safetensors .*1 missing key \({name}\)"):
        load_transformer(tmp_path / "broken.safetensors")


def test_one_key_added(tmp_path: Path, tiny_flux: Weights) -> None:
    write_safetensors(tmp_path / "broken.safetensors", {**tiny_flux, "extra.weight": torch.zeros(1)})
    with pytest.raises(CheckpointError, match=r"1 unknown key \(extra\.weight\)"):
        load_transformer(tmp_path / "broken.safetensors")


def test_one_key_misshapen(tmp_path: Path, tiny_flux: Weights) -> None:
    tiny_flux["time_in.out_layer.bias"] = torch.zeros(127)
    write_safetensors(tmp_path / "broken.safetensors", tiny_flux)
    with pytest.raises(
        CheckpointError, match=r"1 misshapen key \(time_in.out_layer.bias: got \(127,\), expected \(128,\)"
    ):
        load_transformer(tmp_path / "broken.safetensors")


def test_a_misshapen_telling_key_is_refused(tmp_path: Path, tiny_flux: Weights) -> None:
    tiny_flux["img_in.weight"] = torch.zeros(130, 64)
    write_safetensors(tmp_path / "broken.safetensors", tiny_flux)
    with pytest.raises(CheckpointError, match="130 wide"):
        load_transformer(tmp_path / "broken.safetensors")


def test_fill_models_are_refused(tiny_flux: Weights) -> None:
    tiny_flux["img_in.weight"] = torch.zeros(128, 384)
    with pytest.raises(CheckpointError, match=r"takes 384 channels and gives 64, like a FLUX\.1 Fill"):
        flux_config_from(tiny_flux)


def test_other_head_widths_are_refused(tiny_flux: Weights) -> None:
    tiny_flux["double_blocks.0.img_attn.norm.key_norm.scale"] = torch.zeros(64)
    with pytest.raises(CheckpointError, match="attention heads of 64"):
        flux_config_from(tiny_flux)


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("double_stream_modulation_img.lin.weight", "FLUX.2"),
        ("distilled_guidance_layer.in_proj.weight", "Chroma"),
    ],
)
def test_cousins_are_refused(tmp_path: Path, tiny_flux: Weights, key: str, name: str) -> None:
    write_safetensors(tmp_path / "cousin.safetensors", {**tiny_flux, key: torch.zeros(1)})
    with pytest.raises(CheckpointError, match=rf"cousin\.safetensors is not a FLUX\.1 model but looks like a {name}"):
        load_transformer(tmp_path / "cousin.safetensors")


def test_a_lora_is_refused(tmp_path: Path, tiny_lora: Weights) -> None:
    write_safetensors(tmp_path / "lora.safetensors", tiny_lora)
    with pytest.raises(CheckpointError, match="looks like a USO LoRA"):
        load_transformer(tmp_path / "lora.safetensors")


def test_schnell_has_no_guidance(
    tmp_path: Path, tiny: FluxConfig, flux_shapes: Callable, random_weights: Callable
) -> None:
    schnell = replace(tiny, guidance_embed=False)
    write_safetensors(tmp_path / "schnell.safetensors", random_weights(flux_shapes(schnell)))
    assert load_transformer(tmp_path / "schnell.safetensors").config == schnell
