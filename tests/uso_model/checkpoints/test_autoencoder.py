"""Autoencoder files: sizes off the weights, prefixes, strict."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from comfyui_uso.uso_model.autoencoder import Autoencoder
from comfyui_uso.uso_model.checkpoints.autoencoder import (
    autoencoder_config_from,
    load_autoencoder,
    save_autoencoder,
)
from comfyui_uso.uso_model.checkpoints.files import read_metadata, read_safetensors, write_safetensors
from comfyui_uso.uso_model.checkpoints.strict import CheckpointError
from comfyui_uso.uso_model.config import FLUX_AE, AutoencoderConfig
from torch import Tensor

Weights = dict[str, Tensor]
SMALL = AutoencoderConfig(
    in_channels=3,
    ch=32,
    out_ch=3,
    ch_mult=(1, 2),
    num_res_blocks=1,
    z_channels=4,
    scale_factor=FLUX_AE.scale_factor,
    shift_factor=FLUX_AE.shift_factor,
)


@pytest.fixture
def weights(random_weights: Callable) -> Weights:
    return random_weights({name: tuple(t.shape) for name, t in Autoencoder(SMALL).state_dict().items()})


def test_the_released_autoencoder() -> None:
    with torch.device("meta"):
        model = Autoencoder(FLUX_AE)
    keys = model.state_dict()
    assert len(keys) == 244 and sum(t.numel() for t in keys.values()) == 83_819_683
    assert autoencoder_config_from(keys) == FLUX_AE


@pytest.mark.parametrize("ch_mult", [(1,), (1, 2, 2, 2), (2, 1, 3)])
@pytest.mark.parametrize("num_res_blocks", [1, 3])
def test_sizes_come_from_the_weights(ch_mult: tuple[int, ...], num_res_blocks: int) -> None:
    config = AutoencoderConfig(**{**vars(SMALL), "ch_mult": ch_mult, "num_res_blocks": num_res_blocks})
    with torch.device("meta"):
        keys = Autoencoder(config).state_dict()
    assert autoencoder_config_from(keys) == config


@pytest.mark.parametrize("prefix", ["", "vae.", "first_stage_model."])
def test_load_with_any_prefix(tmp_path: Path, weights: Weights, prefix: str) -> None:
    stored = {f"{prefix}{name}": tensor for name, tensor in weights.items()}
    if prefix:
        stored["model.diffusion_model.img_in.weight"] = torch.zeros(1)
    write_safetensors(tmp_path / "ae.safetensors", stored)
    model = load_autoencoder(tmp_path / "ae.safetensors")
    assert model.config == SMALL and not model.training
    assert all(torch.equal(t, weights[name]) for name, t in model.state_dict().items())


def test_metadata_overrides_what_weights_cannot_tell(tmp_path: Path, weights: Weights) -> None:
    told = {"config": json.dumps({"scale_factor": 0.5, "shift_factor": -1.0, "trained for": "fun"})}
    write_safetensors(tmp_path / "ae.safetensors", weights, told)
    config = load_autoencoder(tmp_path / "ae.safetensors").config
    assert (config.scale_factor, config.shift_factor, config.ch_mult) == (0.5, -1.0, (1, 2))


def test_save_and_load(tmp_path: Path, weights: Weights) -> None:
    write_safetensors(tmp_path / "in.safetensors", weights, {"config": json.dumps({"scale_factor": 0.9})})
    model = load_autoencoder(tmp_path / "in.safetensors")
    save_autoencoder(tmp_path / "out.safetensors", model, torch.float16, {"by": "test"})
    assert read_metadata(tmp_path / "out.safetensors")["by"] == "test"
    assert {t.dtype for t in read_safetensors(tmp_path / "out.safetensors").values()} == {torch.float16}
    again = load_autoencoder(tmp_path / "out.safetensors")
    assert again.config == model.config
    assert {p.dtype for p in again.parameters()} == {torch.float32}


def test_one_key_removed_or_added_or_misshapen(tmp_path: Path, weights: Weights) -> None:
    path = tmp_path / "ae.safetensors"
    for name in (
        "decoder.mid.attn_1.q.weight",
        "encoder.down.1.block.0.conv1.weight",
        "encoder.down.0.block.0.conv1.weight",
    ):
        write_safetensors(path, {k: t for k, t in weights.items() if k != name})
        with pytest.raises(CheckpointError, match=rf"ae\.safetensors .*{name}"):
            load_autoencoder(path)
    write_safetensors(path, {**weights, "extra": torch.zeros(1)})
    with pytest.raises(CheckpointError, match=r"1 unknown key \(extra\)"):
        load_autoencoder(path)
    write_safetensors(path, {**weights, "encoder.norm_out.bias": torch.zeros(5)})
    with pytest.raises(CheckpointError, match=r"encoder\.norm_out\.bias: got \(5,\), expected \(64,\)"):
        load_autoencoder(path)


@pytest.mark.parametrize("config", ["[1", "12"])
def test_unreadable_metadata_is_refused(tmp_path: Path, weights: Weights, config: str) -> None:
    write_safetensors(tmp_path / "ae.safetensors", weights, {"config": config})
    with pytest.raises(CheckpointError, match=r"not (a )?JSON"):
        load_autoencoder(tmp_path / "ae.safetensors")


def test_other_autoencoders_are_refused(tmp_path: Path, weights: Weights, tiny_flux: Weights) -> None:
    write_safetensors(tmp_path / "sd.safetensors", {**weights, "quant_conv.weight": torch.zeros(8, 8, 1, 1)})
    with pytest.raises(CheckpointError, match="autoencoder of another model family"):
        load_autoencoder(tmp_path / "sd.safetensors")
    write_safetensors(tmp_path / "flux.safetensors", tiny_flux)
    with pytest.raises(CheckpointError, match=r"looks like a FLUX\.1 model; choose ae\.safetensors"):
        load_autoencoder(tmp_path / "flux.safetensors")
