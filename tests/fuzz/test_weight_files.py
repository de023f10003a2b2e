"""Every reader of weight files, with damaged and with hostile ones."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from comfyui_uso.trainer.encoders.fingerprint import fingerprint
from comfyui_uso.trainer.encoders.pretrained import load_clip, load_siglip, load_t5
from comfyui_uso.trainer.memory.load import load_frozen
from comfyui_uso.uso_model.autoencoder import Autoencoder
from comfyui_uso.uso_model.checkpoints import (
    kind_of,
    load_autoencoder,
    load_projector,
    load_transformer,
    read_lora,
    read_metadata,
    read_safetensors,
    read_shapes,
    save_autoencoder,
    save_projector,
    save_transformer,
    write_safetensors,
)
from comfyui_uso.uso_model.checkpoints.kinds import looks_like
from comfyui_uso.uso_model.config import FLUX_AE, FLUX_DEV
from comfyui_uso.uso_model.projector import HierarchicalProjector
from comfyui_uso.uso_model.transformer import UsoTransformer
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    SiglipVisionConfig,
    SiglipVisionModel,
    T5Config,
    T5EncoderModel,
)

from .mutations import Tally, changed_bytes, changed_header

TINY = replace(FLUX_DEV, vec_in_dim=8, context_in_dim=8, hidden_size=128, num_heads=1, depth=1, depth_single_blocks=1)
CPU = torch.device("cpu")


def _lora() -> dict[str, torch.Tensor]:
    names = [f"diffusion_model.double_blocks.0.img_attn.{part}" for part in ("qkv", "proj")]
    names.append("diffusion_model.single_blocks.0.linear1")
    tensors = {f"{name}.lora_A.weight": torch.ones(2, 8) for name in names}
    tensors |= {f"{name}.lora_B.weight": torch.ones(48, 2) for name in names}
    return {**tensors, f"{names[0]}.alpha": torch.tensor(2.0)}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Return a small whole file of each kind."""
    folder = tmp_path_factory.mktemp("whole")
    torch.manual_seed(0)
    flux = UsoTransformer(TINY)
    save_transformer(folder / "flux", flux, "bf16")
    save_transformer(folder / "fp8", flux, "fp8_scaled")
    save_projector(folder / "projector", HierarchicalProjector(4, 2, 6, 8))
    ae = replace(FLUX_AE, ch=32, ch_mult=(1,), num_res_blocks=1, z_channels=4)
    save_autoencoder(folder / "autoencoder", Autoencoder(ae), torch.float16)
    write_safetensors(folder / "lora", _lora(), {"format": "pt"})
    heads = {"num_hidden_layers": 1, "hidden_size": 16, "intermediate_size": 16, "num_attention_heads": 1}
    towers = {
        "t5": (T5EncoderModel(T5Config(vocab_size=9, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2)), ""),
        "clip": (CLIPTextModel(CLIPTextConfig(vocab_size=9, eos_token_id=8, bos_token_id=7, **heads)), "text_model."),
        "siglip": (SiglipVisionModel(SiglipVisionConfig(image_size=32, patch_size=16, **heads)), "vision_model."),
    }
    for name, (model, prefix) in towers.items():
        tensors = {prefix + key.removeprefix(prefix): tensor for key, tensor in model.state_dict().items()}
        write_safetensors(folder / name, tensors)
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def _header(path: Path) -> None:
    shapes = read_shapes(path)
    kind_of(shapes)
    looks_like(shapes)
    read_metadata(path)
    read_safetensors(path)
    fingerprint(path)


READERS: dict[str, list[Callable[[Path], Any]]] = {
    "flux": [load_transformer, lambda path: load_frozen(path, "fp8")],
    "fp8": [load_transformer, lambda path: load_frozen(path, "bf16"), lambda path: load_frozen(path, "fp8")],
    "projector": [load_projector],
    "autoencoder": [load_autoencoder],
    "lora": [read_lora],
    "t5": [lambda path: load_t5(path, torch.float32, CPU)],
    "clip": [lambda path: load_clip(path, torch.float32, CPU)],
    "siglip": [lambda path: load_siglip(path, torch.float32, CPU)],
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", READERS)
def test_damaged_and_hostile_weight_files(
    kind: str, files: dict[str, bytes], tmp_path: Path, rng: random.Random, rounds: int, tally: Tally
) -> None:
    path, whole = tmp_path / f"{kind}.safetensors", files[kind]
    path.write_bytes(whole)
    for read in (_header, *READERS[kind]):
        read(path)
    length = 8 + int.from_bytes(whole[:8], "little")
    for number in range(30 * rounds):
        damaged = changed_bytes(whole, rng, length) if number % 3 == 0 else changed_header(whole, rng)
        path.write_bytes(damaged)
        for read in (_header, *READERS[kind]):
            tally(f"{kind} {number}", read, path)


@pytest.mark.filterwarnings("ignore")
def test_every_reader_takes_files_of_every_kind(files: dict[str, bytes], tmp_path: Path, tally: Tally) -> None:
    for kind, whole in files.items():
        path = tmp_path / f"{kind}.safetensors"
        path.write_bytes(whole)
        for reader, reads in READERS.items():
            for read in reads:
                tally(f"{reader} of {kind}", read, path)
