"""Write what a run trained as files that ComfyUI loads, and read them back to be sure."""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from ..uso_model.checkpoints import (
    CheckpointError,
    Lora,
    load_projector,
    read_lora,
    read_metadata,
    read_safetensors,
    to_bfl,
    write_diffusion_model_lora,
    write_safetensors,
    write_uso_lora,
)
from ..uso_model.checkpoints.files import remove_leftovers
from ..uso_model.checkpoints.lora import concatenate, uso_modules
from ..uso_model.config import FLUX_DEV
from ..uso_model.errors import UserError
from ..uso_model.projector import PREFIX
from .adapters import lora_from_parameters
from .encoders.fingerprint import fingerprint
from .engine.checkpoint import latest
from .family import family_of
from .lora_layers import layer_names
from .recipe import TrainConfig
from .run_folder import read_data, read_run, run_id, shareable
from .starting_files import lora_file, projector_file, transformer_file

__all__ = ["LORA", "PROJECTOR", "TRANSFORMER", "export", "export_run", "require_own_files"]

TRANSFORMER, LORA, PROJECTOR = "transformer.safetensors", "lora.safetensors", "projector.safetensors"

RUN = "uso.run"
"""Metadata: name of the run that wrote a file."""

_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}


def export_run(
    run_dir: str | Path,
    step: int | None = None,
    out: str | Path | None = None,
    dtype: str | None = None,
    weights: Literal["ema", "live"] = "ema",
) -> str:
    """Write a checkpoint's networks, read from the run's folder, and return a report; see `export`.

    Args:
        run_dir: folder of the run.
        step: of the checkpoint; None takes the newest.
        out: folder to write; None takes the run's own `out`.
        dtype: see `export`.
        weights: `ema` takes the averaged weights where the run keeps them.

    Raises:
        UserError: no such checkpoint, or see `export`.
    """
    run_dir = Path(run_dir)
    config = read_run(run_dir)
    found = latest(run_dir, step)
    if found is None:
        which = "complete checkpoint" if step is None else f"complete checkpoint of step {step}"
        raise UserError(f"{run_dir} holds no {which}; train first, or look at the checkpoint-* folders in it")
    ema = found.ema() if weights == "ema" else None
    report = export(config, found.step, ema or found.trained(), read_data(run_dir), out, dtype)
    return f"step {found.step} of {run_dir.name}, {'averaged' if ema else 'live'} weights\n{report}"


def export(
    config: TrainConfig,
    step: int,
    parameters: Mapping[str, Tensor],
    data: Mapping[str, str],
    out: str | Path | None = None,
    dtype: str | None = None,
) -> str:
    """Write the networks that a stage trained and return a report.

    Stage `base` gives a FLUX file, `style` a projector, `triplet` a LoRA and the projector that belongs to it. A LoRA
    on all 19 + 38 blocks of FLUX.1 gets USO's own 304 key names, any other `diffusion_model.*` names, which stock
    loaders accept whatever the number of blocks. A rank trained beside a published LoRA is written together with it, by
    concatenation, which is exact.

    Args:
        config: the stage.
        step: optimiser steps that the parameters have seen.
        parameters: trained ones, named as in `Networks.together`.
        data: what `write_run` returned of the rows.
        out: folder to write; None takes the run's own.
        dtype: bf16, fp16 or fp32; None takes the family's.

    Raises:
        UserError: values that are not finite, or a file of another run is in the way.
        CheckpointError: a file does not hold what was written.
    """
    broken = [name for name, tensor in parameters.items() if not torch.isfinite(tensor).all()]
    if broken:
        raise UserError(f"step {step} has values that are not finite in {', '.join(broken[:3])}; export another")
    kind = _DTYPES[dtype or family_of(config).export_dtype]
    folder = config.folder if out is None else Path(out)
    require_own_files(config, folder)
    folder.mkdir(parents=True, exist_ok=True)
    if _is_inside(folder, config.loop.run_dir):
        remove_leftovers(folder)
    metadata = _metadata(config, step, data)
    lines = []
    if config.stage == "base":
        tensors = {k: v.to(kind) for k, v in to_bfl(_part(parameters, "transformer.")).items()}
        lines.append(_write_plain(folder / TRANSFORMER, tensors, metadata))
    if config.stage == "triplet":
        lines.append(_write_lora(folder / LORA, _lora(config, parameters), metadata, kind))
    if config.stage != "base" and config.conditions.style_path == "siglip":
        tensors = {f"{PREFIX}{k}": v.to(kind) for k, v in _projector(config, parameters).items()}
        lines.append(_write_plain(folder / PROJECTOR, tensors, metadata))
    return "\n".join(lines)


def require_own_files(config: TrainConfig, folder: Path | None = None) -> None:
    """Make sure that the files to be written replace none but the run's own.

    Args:
        config: the stage.
        folder: to be written; None takes the run's own.

    Raises:
        UserError: a file of that name is there that another run, or none of ours, has written.
    """
    run_dir = config.loop.run_dir
    folder = config.folder if folder is None else folder
    if _is_inside(folder, run_dir):
        return  # whatever lies in a run's folder came with the run
    for name in (TRANSFORMER, LORA, PROJECTOR):
        path = folder / name
        if path.exists() and not _is_own(path, run_dir):
            raise UserError(
                f"{path} is there and was not written by the run {run_dir.name}; name another folder with `out`, or "
                "move the file away"
            )


def _is_inside(folder: Path, run_dir: Path) -> bool:
    return folder.absolute().is_relative_to(run_dir.absolute())


def _is_own(path: Path, run_dir: Path) -> bool:
    try:
        metadata = read_metadata(path)
    except CheckpointError:
        return False
    if RUN in metadata:
        return run_dir.is_dir() and metadata[RUN] == run_id(run_dir)
    # The first versions told only the folder's name.
    return "uso.stage" in metadata and metadata.get("modelspec.title") == run_dir.name


def _part(parameters: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): t.detach() for name, t in parameters.items() if name.startswith(prefix)}


def _lora(config: TrainConfig, parameters: Mapping[str, Tensor]) -> Lora:
    trained = lora_from_parameters(_part(parameters, "transformer."), config.lora.alpha)
    path = lora_file(config)
    return concatenate(read_lora(path), trained) if path is not None and config.lora.start == "add" else trained


def _projector(config: TrainConfig, parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
    trained = _part(parameters, "projector.")
    if trained:
        return trained
    path = projector_file(config)
    assert path is not None  # only stage `style` has none, and there it is trained
    return load_projector(path).state_dict()  # frozen: the one that the LoRA was trained with


def _write_lora(path: Path, lora: Lora, metadata: Mapping[str, str], dtype: torch.dtype) -> str:
    """Write a LoRA, compare it with what is read back, and count the keys that ComfyUI knows."""
    known = uso_modules(FLUX_DEV.depth, FLUX_DEV.depth_single_blocks)
    ranks = ", ".join(sorted({str(part.rank) for part in lora.modules.values()}))
    info = {**metadata, "ss_network_module": "networks.lora", "ss_network_dim": ranks, "ss_network_alpha": ranks}
    if lora.modules.keys() == known.keys():
        write_uso_lora(path, lora, info, dtype)
    else:
        write_diffusion_model_lora(path, lora, info, dtype)
    again = read_lora(path)
    expected: dict[str, Tensor] = {}
    found: dict[str, Tensor] = {}
    for name, part in lora.modules.items():
        expected |= {f"{name} down": part.down.to(dtype), f"{name} up": (part.up * part.scale).to(dtype)}
        copy = again.modules.get(name)
        found |= {} if copy is None else {f"{name} down": copy.down, f"{name} up": copy.up}
    _require_equal(path, expected, found)
    tensors = read_safetensors(path)
    mapped = [key for key in tensors if _comfy_knows(key)]
    return f"{path}: rank {ranks}, {len(mapped)}/{len(tensors)} keys map in ComfyUI, values read back equal"


def _comfy_knows(key: str) -> bool:
    """Say whether stock ComfyUI applies a key: USO's names by its conversion (comfy/lora_convert.py), others by the
    names of FLUX's weights and `linear1_qkv` (comfy/lora.py)."""
    layer, _, side = key.removeprefix("diffusion_model.").partition(".lora_")
    if side:
        bare = re.sub(r"_blocks\.[0-9]+\.", "_blocks.0.", layer)
        return side in ("A.weight", "B.weight") and (bare.endswith(".linear1") or bare in layer_names(1, 1))
    known = uso_modules(FLUX_DEV.depth, FLUX_DEV.depth_single_blocks).values()
    return key.removesuffix(".down.weight").removesuffix(".up.weight") in known


def _write_plain(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    write_safetensors(path, tensors, metadata)
    _require_equal(path, tensors, read_safetensors(path))
    return f"{path}: {len(tensors)} tensors, values read back equal"


def _require_equal(path: Path, written: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> None:
    wrong = [
        name for name, tensor in written.items() if name not in found or not torch.equal(found[name], tensor.cpu())
    ]
    if wrong or len(found) != len(written):
        raise CheckpointError(
            f"{path} does not hold what was written ({len(wrong)} of {len(written)} tensors differ); check the disk "
            "and export again with `uso export`."
        )


def _metadata(config: TrainConfig, step: int, data: Mapping[str, str]) -> dict[str, str]:
    """Return what a file says about itself: modelspec 1.0.1 (Stability-AI/ModelSpec) and where it comes from."""
    family = family_of(config)
    metadata = {
        "modelspec.sai_model_spec": "1.0.1",
        "modelspec.architecture": f"{family.name}/lora",
        "modelspec.implementation": "https://github.com/black-forest-labs/flux",
        "modelspec.title": config.loop.run_dir.name,
        "modelspec.date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "modelspec.license": family.licence,
        "uso.stage": config.stage,
        "uso.step": str(step),
        RUN: run_id(config.loop.run_dir),
        "uso.config": shareable(config),
        **data,
    }
    for name, path in {"base": transformer_file(config), "lora": lora_file(config)}.items():
        if path is not None and path.exists():
            metadata[f"uso.{name}_fingerprint"] = fingerprint(path)
    return metadata
