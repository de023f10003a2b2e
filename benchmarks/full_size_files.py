"""Model files of FLUX.1's and USO's full sizes with random small values, and a data set, for `full_size.py`.

Names and shapes are those of the published files; they come from the networks themselves, on the meta device. The
values are stretches of one noise, written tensor by tensor, so that 20 GB take minutes and little memory.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from comfyui_uso.trainer.data.manifest import Row, write_manifest
from comfyui_uso.uso_model.autoencoder import Autoencoder
from comfyui_uso.uso_model.checkpoints import to_bfl
from comfyui_uso.uso_model.checkpoints.lora import uso_modules
from comfyui_uso.uso_model.config import FLUX_AE, FLUX_DEV
from comfyui_uso.uso_model.projector import PREFIX, HierarchicalProjector
from comfyui_uso.uso_model.transformer import UsoTransformer
from PIL import Image
from torch import Tensor, nn
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    SiglipVisionConfig,
    SiglipVisionModel,
    T5Config,
    T5EncoderModel,
    T5TokenizerFast,
)

__all__ = ["FULL", "TINY", "Sizes", "make_files", "settings_for"]

_NOISE, _DEVIATION = 1 << 24, 0.02
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_FP8, _BF16, _F16, _F32 = torch.float8_e4m3fn, torch.bfloat16, torch.float16, torch.float32
_NAMES = {_FP8: "F8_E4M3", _BF16: "BF16", _F16: "F16", _F32: "F32"}
_ROWS = 3


class Sizes(NamedTuple):
    """What makes the networks large or small."""

    width: int
    blocks: tuple[int, int]
    """Double and single ones."""
    text: tuple[int, int, int]
    """T5's width, inner width and layers."""
    clip: tuple[int, int]
    """Width and layers."""
    siglip: tuple[int, int, int, int]
    """Width, inner width, layers and side of the picture."""
    autoencoder: int
    """Channels at full resolution."""
    rank: int


FULL = Sizes(3072, (19, 38), (4096, 10240, 24), (768, 12), (1152, 4304, 27, 384), 128, 128)
TINY = Sizes(256, (1, 2), (64, 96, 2), (128, 2), (128, 96, 6, 56), 32, 4)


def make_files(folder: Path, sizes: Sizes) -> None:
    """Write `models/`, `tokenizers/` and `data/` into a folder and say how large each file is."""
    for name, (network, dtype, keep) in _networks(sizes).items():
        path = folder / "models" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        shapes = {key: tuple(tensor.shape) for key, tensor in network.items()}
        _write(path, shapes, dtype, keep)
        print(f"{path}: {len(shapes)} tensors, {path.stat().st_size / 1e9:.2f} GB", flush=True)
    _write_tokenizers(folder / "tokenizers")
    _write_data(folder / "data")


def settings_for(folder: Path) -> list[str]:
    """Return the settings that name the files, for the recipe `my_style`."""
    models = folder / "models"
    names = {
        "transformer": "flux1-dev-fp8",
        "t5": "t5xxl_fp8_e4m3fn",
        "clip": "clip_l",
        "vae": "ae",
        "siglip": "sigclip_vision_patch14_384",
        "lora": "uso-flux1-dit-lora-v1",
        "projector": "uso-flux1-projector-v1",
    }
    settings = [f"models.{part}={models / f'{name}.safetensors'}" for part, name in names.items()]
    settings += [f"models.tokenizers={folder / 'tokenizers'}", f"data.cache={folder / 'data' / 'cache'}"]
    return [*settings, f"data.manifests={folder / 'data' / 'manifest.jsonl'}", f"loop.run_dir={folder / 'run'}"]


def _networks(sizes: Sizes) -> dict[str, tuple[Mapping[str, Tensor], torch.dtype, torch.dtype]]:
    """Return the weights of each file on the meta device, the type of its matrices and that of the rest."""
    flux = replace(
        FLUX_DEV,
        hidden_size=sizes.width,
        num_heads=sizes.width // 128,
        depth=sizes.blocks[0],
        depth_single_blocks=sizes.blocks[1],
        context_in_dim=sizes.text[0],
        vec_in_dim=sizes.clip[0],
    )
    (width, inner, layers), (siglip, siglip_inner, siglip_layers, side) = sizes.text, sizes.siglip
    tokens = (side // 14) ** 2
    with torch.device("meta"):
        transformer = UsoTransformer(flux).state_dict()
        t5 = T5EncoderModel(
            T5Config(
                vocab_size=32128,
                d_model=width,
                d_kv=64,
                num_heads=width // 64,
                d_ff=inner,
                num_layers=layers,
                feed_forward_proj="gated-gelu",
            )
        )
        clip = CLIPTextModel(
            CLIPTextConfig(
                hidden_size=sizes.clip[0],
                intermediate_size=4 * sizes.clip[0],
                num_hidden_layers=sizes.clip[1],
                num_attention_heads=sizes.clip[0] // 64,
            )
        )
        vision = SiglipVisionModel(
            SiglipVisionConfig(
                hidden_size=siglip,
                intermediate_size=siglip_inner,
                num_hidden_layers=siglip_layers,
                num_attention_heads=16 if siglip == 1152 else siglip // 64,
                image_size=side,
                patch_size=14,
            )
        )
        autoencoder = Autoencoder(replace(FLUX_AE, ch=sizes.autoencoder)).state_dict()
        projector = HierarchicalProjector(tokens, 64, siglip, sizes.width).state_dict()
        lora = {
            f"{key}.{side}.weight": torch.empty((sizes.rank, n_in) if side == "down" else (n_out, sizes.rank))
            for module, key in uso_modules(*sizes.blocks).items()
            for n_out, n_in in [transformer[f"{module}.weight"].shape]
            for side in ("down", "up")
        }
    text = {key: tensor for key, tensor in t5.state_dict().items() if key != "encoder.embed_tokens.weight"}
    return {
        "flux1-dev-fp8.safetensors": (to_bfl(transformer), _FP8, _BF16),
        "t5xxl_fp8_e4m3fn.safetensors": (text, _FP8, _FP8),
        "clip_l.safetensors": (_prefixed("text_model.", clip), _F16, _F16),
        "ae.safetensors": (autoencoder, _F32, _F32),
        "sigclip_vision_patch14_384.safetensors": (_prefixed("vision_model.", vision), _F16, _F16),
        "uso-flux1-dit-lora-v1.safetensors": (lora, _BF16, _BF16),
        "uso-flux1-projector-v1.safetensors": ({f"{PREFIX}{k}": t for k, t in projector.items()}, _BF16, _BF16),
    }


def _prefixed(prefix: str, network: nn.Module) -> dict[str, Tensor]:
    """Return the weights under the names of published files, whichever version of transformers is installed."""
    return {prefix + name.removeprefix(prefix): tensor for name, tensor in network.state_dict().items()}


def _write(path: Path, shapes: Mapping[str, tuple[int, ...]], matrices: torch.dtype, rest: torch.dtype) -> None:
    """Write a safetensors file; norms are ones, everything else another stretch of the same noise."""
    dtypes = {name: matrices if len(shape) > 1 else rest for name, shape in shapes.items()}
    header, end = {}, 0
    for name, shape in shapes.items():
        size = torch.Size(shape).numel() * dtypes[name].itemsize
        header[name] = {"dtype": _NAMES[dtypes[name]], "shape": list(shape), "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    noise = torch.randn(_NOISE, generator=torch.Generator().manual_seed(1)) * _DEVIATION
    stretches = {dtype: _bytes_of(noise.to(dtype)) for dtype in set(dtypes.values())}
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for n, (name, shape) in enumerate(shapes.items()):
            dtype, count = dtypes[name], torch.Size(shape).numel()
            if len(shape) == 1 and "norm" in name and not name.endswith("bias"):
                file.write(_bytes_of(torch.ones(count).to(dtype)))
                continue
            left, start = count * dtype.itemsize, n * 9973 % _NOISE * dtype.itemsize
            while left:
                piece = stretches[dtype][start : start + left]
                file.write(piece)
                left, start = left - len(piece), 0


def _bytes_of(values: Tensor) -> memoryview:
    return values.view(torch.uint8).numpy().data


def _write_tokenizers(folder: Path) -> None:
    """Write two of a few words: what a prompt costs does not depend on its words."""
    words = ["<pad>", "</s>", "<unk>", "\u2581", *_LETTERS]
    T5TokenizerFast(vocab=[(word, -float(n)) for n, word in enumerate(words)], extra_ids=0).save_pretrained(
        folder / "t5"
    )
    (folder / "clip").mkdir(parents=True, exist_ok=True)
    words = [*_LETTERS, *(f"{letter}</w>" for letter in _LETTERS), "<|startoftext|>", "<|endoftext|>"]
    (folder / "clip/vocab.json").write_text(json.dumps({word: n for n, word in enumerate(words)}), encoding="utf-8")
    (folder / "clip/merges.txt").write_text("#version: 0.2\n", encoding="utf-8")


def _write_data(folder: Path) -> None:
    """Write pictures of noise, each with another one as style and as content reference."""
    folder.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(0).integers(0, 255, (_ROWS, 320, 320, 3), dtype=np.uint8)
    paths = [folder / f"{n}.png" for n in range(_ROWS)]
    for path, pixels in zip(paths, noise, strict=True):
        Image.fromarray(pixels).save(path)
    rows = [
        Row(
            id=str(n),
            target=path,
            style=[paths[n - 1]],
            content=paths[n - 2],
            prompt=f"{_LETTERS[n]} picture of noise",
        )
        for n, path in enumerate(paths)
    ]
    write_manifest(rows, folder / "manifest.jsonl")
