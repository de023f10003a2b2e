"""FLUX.1 transformers and autoencoders in Hugging Face folders, brought to BFL's names.

The two layouts differ in names, in q, k and v being one matrix or three, and in the order of the last modulation's
halves. Source: huggingface/diffusers, src/diffusers/loaders/single_file_utils.py.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..untrusted import field, number, parse_json, quoted, read_text
from .diffusers_names import DOUBLE, DOUBLE_JOINED, OUTSIDE, SINGLE, SINGLE_JOINED, SWAPPED
from .files import read_safetensors
from .kinds import looks_like
from .sizes import block_numbers
from .strict import CheckpointError, counted

__all__ = ["autoencoder_from_folder", "part_of", "read_folder", "transformer_from_folder", "transformer_from_tensors"]

_VAE = [
    (r"\.mid_block\.resnets\.0\.", ".mid.block_1."),
    (r"\.mid_block\.resnets\.1\.", ".mid.block_2."),
    (r"\.mid_block\.attentions\.0\.group_norm\.", ".mid.attn_1.norm."),
    (r"\.mid_block\.attentions\.0\.to_([qkv])\.", r".mid.attn_1.\1."),
    (r"\.mid_block\.attentions\.0\.to_out\.0\.", ".mid.attn_1.proj_out."),
    (r"\.down_blocks\.(\d+)\.resnets\.(\d+)\.", r".down.\1.block.\2."),
    (r"\.down_blocks\.(\d+)\.downsamplers\.0\.", r".down.\1.downsample."),
    (r"\.conv_norm_out\.", ".norm_out."),
    (r"\.conv_shortcut\.", ".nin_shortcut."),
]


def transformer_from_folder(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """Read the transformer of a folder (its own or FLUX.1-dev's, with `transformer` in it) under BFL's names.

    Raises:
        CheckpointError: the folder has no such weights, or keys are missing or unknown.
    """
    folder = part_of(Path(path), "transformer")
    return transformer_from_tensors(read_folder(folder), folder.name)


def transformer_from_tensors(tensors: Mapping[str, Tensor], source: str) -> dict[str, Tensor]:
    """Bring the weights of a Hugging Face transformer, which may be on the meta device, to BFL's names and order.

    Raises:
        CheckpointError: these are no such weights, or keys are missing or unknown.
    """
    if "single_transformer_blocks.0.proj_mlp.weight" not in tensors:
        raise CheckpointError(
            f"{source} is not a FLUX.1 transformer but looks like {looks_like(tensors)}; use a FLUX.1 folder."
        )
    taken: set[str] = set()
    result: dict[str, Tensor] = {}

    def take(old: str) -> Tensor:
        taken.add(old)
        if old not in tensors:
            raise CheckpointError(f"{source} lacks {old}; download the folder again.")
        return tensors[old]

    def move(prefix: str, new_prefix: str, table: Mapping[str, str]) -> None:
        for old, new in table.items():
            for leaf in ("weight", "bias"):
                if f"{prefix}{old}.{leaf}" in tensors:
                    name = "scale" if new.endswith("_norm") else leaf
                    result[f"{new_prefix}{new}.{name}"] = take(f"{prefix}{old}.{leaf}")

    def join(prefix: str, new_prefix: str, table: Mapping[str, tuple[str, ...]]) -> None:
        for new, parts in table.items():
            for leaf in ("weight", "bias"):
                if any(f"{prefix}{old}.{leaf}" in tensors for old in parts):
                    names = [f"{prefix}{old}.{leaf}" for old in parts]
                    result[f"{new_prefix}{new}.{leaf}"] = _joined([take(name) for name in names], names, source)

    move("", "", OUTSIDE)
    for old, new in SWAPPED.items():
        for leaf in ("weight", "bias"):
            halves = take(f"{old}.{leaf}")
            if halves.ndim == 0 or halves.shape[0] % 2:
                raise CheckpointError(f"{source} has a {old}.{leaf} without two halves; download the folder again.")
            result[f"{new}.{leaf}"] = halves.roll(halves.shape[0] // 2, 0)
    for n in block_numbers(tensors, "transformer_blocks."):
        move(f"transformer_blocks.{n}.", f"double_blocks.{n}.", DOUBLE)
        join(f"transformer_blocks.{n}.", f"double_blocks.{n}.", DOUBLE_JOINED)
    for n in block_numbers(tensors, "single_transformer_blocks."):
        move(f"single_transformer_blocks.{n}.", f"single_blocks.{n}.", SINGLE)
        join(f"single_transformer_blocks.{n}.", f"single_blocks.{n}.", SINGLE_JOINED)
    _require_all(tensors.keys() - taken, source)
    return result


def autoencoder_from_folder(path: str | os.PathLike[str]) -> tuple[dict[str, Tensor], dict[str, float]]:
    """Read the autoencoder of a folder (its own or FLUX.1-dev's, with `vae` in it) under BFL's names.

    Returns:
        The weights, and `scale_factor` and `shift_factor` where config.json tells them.

    Raises:
        CheckpointError: the folder has no such weights.
    """
    folder = part_of(Path(path), "vae")
    tensors = read_folder(folder)
    levels = 1 + max(block_numbers(tensors, "decoder.up_blocks."), default=-1)
    result = {}
    for name, tensor in tensors.items():
        new = name
        for pattern, replacement in _VAE:
            new = re.sub(pattern, replacement, new)
        # There `up_blocks` are numbered as they are walked, here by their resolution.
        new = re.sub(r"\.up_blocks\.([0-9]{1,6})\.resnets\.", lambda m: f".up.{levels - 1 - int(m[1])}.block.", new)
        new = re.sub(
            r"\.up_blocks\.([0-9]{1,6})\.upsamplers\.0\.", lambda m: f".up.{levels - 1 - int(m[1])}.upsample.", new
        )
        if ".attn_1." in new and new.endswith(".weight") and tensor.ndim == 2:
            tensor = tensor[:, :, None, None]  # a linear layer there, a 1x1 convolution here
        result[new] = tensor
    config, place = _json(folder / "config.json"), str(folder / "config.json")
    told = {"scale_factor": "scaling_factor", "shift_factor": "shift_factor"}
    return result, {
        ours: number(config, name, place, error=CheckpointError)
        for ours, name in told.items()
        if config.get(name) is not None
    }


def part_of(path: Path, name: str) -> Path:
    """Return the part `name` of a folder such as FLUX.1-dev's, or the folder itself where it has no such part."""
    return path / name if (path / name).is_dir() else path


def read_folder(folder: Path) -> dict[str, Tensor]:
    """Read all weights of a model's folder, in one file or in shards with an index.

    Raises:
        CheckpointError: the folder has no config.json, no or several models, or lacks weights of its index.
    """
    indexes = sorted(folder.glob("*.safetensors.index.json"))
    if indexes:
        places = field(_json(indexes[0]), "weight_map", dict, str(indexes[0]), CheckpointError)
        if not all(isinstance(place, str) for place in places.values()):
            raise CheckpointError(f"{indexes[0]} names other things than files; download it again.")
        files = sorted({folder / Path(place).name for place in places.values()})
    else:
        # A second precision is marked by a word before the ending: `model.fp16.safetensors`.
        places, files = {}, sorted(file for file in folder.glob("*.safetensors") if "." not in file.stem)
    if not (folder / "config.json").is_file() or not files:
        raise CheckpointError(f"{folder} has no config.json with .safetensors files; give a model's folder or file.")
    if not places and len(files) > 1:
        raise CheckpointError(
            f"{folder} has {len(files)} .safetensors files and no index that joins them; give one of them."
        )
    tensors: dict[str, Tensor] = {}
    for file in files:
        if not file.is_file():
            raise CheckpointError(f"{folder} lacks the shard {quoted(file.name)}; download the folder again.")
        tensors |= read_safetensors(file)
    if missing := places.keys() - tensors.keys():
        raise CheckpointError(f"{folder} lacks {counted(len(missing), 'key')} of its index; download the folder again.")
    return tensors


def _json(path: Path) -> dict[str, Any]:
    found = parse_json(read_text(path, "download the folder again", CheckpointError), str(path), CheckpointError)
    if not isinstance(found, dict):
        raise CheckpointError(f"{path} is not a JSON object; download it again.")
    return found


def _joined(parts: Sequence[Tensor], names: Sequence[str], source: str) -> Tensor:
    """Return weights one below the other."""
    if any(part.ndim == 0 or part.shape[1:] != parts[0].shape[1:] for part in parts):
        shapes = ", ".join(f"{name} {tuple(part.shape)}" for name, part in zip(names, parts, strict=True))
        raise CheckpointError(f"{source} has weights that cannot be joined ({shapes}); download the folder again.")
    return torch.cat(list(parts))


def _require_all(left: set[str], source: str) -> None:
    if left:
        raise CheckpointError(
            f"{source} has {counted(len(left), 'unknown key')} ({', '.join(sorted(left)[:3])}); use a FLUX.1 folder."
        )
