"""Write what a run trained as files that ComfyUI loads, and read them back to be sure."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from ..uso_model.checkpoints import (
    Lora,
    load_projector,
    read_lora,
    read_safetensors,
    to_bfl,
    write_diffusion_model_lora,
    write_safetensors,
    write_uso_lora,
)
from ..uso_model.checkpoints.lora import concatenate, uso_modules
from ..uso_model.checkpoints.projector import PROJECTOR_PREFIX
from ..uso_model.config import FLUX_DEV
from .adapters import lora_from_parameters
from .encoders.fingerprint import fingerprint
from .engine.checkpoint import latest
from .recipe import TrainConfig
from .run_folder import read_data, read_run, shareable
from .starting_files import lora_file, projector_file, transformer_file

__all__ = ["LORA", "PROJECTOR", "TRANSFORMER", "export_run"]

TRANSFORMER, LORA, PROJECTOR = "transformer.safetensors", "lora.safetensors", "projector.safetensors"

LICENCE = "FLUX.1 [dev] Non-Commercial License, as a derivative of FLUX.1 [dev]"

_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}


def export_run(
    run_dir: str | Path,
    step: int | None = None,
    out: str | Path | None = None,
    dtype: str | None = None,
    weights: Literal["ema", "live"] = "ema",
) -> str:
    """Write a checkpoint's networks and return a report.

    Stage `base` gives a FLUX file, `style` a projector, `triplet` a LoRA and the projector that belongs to it. A LoRA
    on all 19 + 38 blocks of FLUX.1 gets USO's own 304 key names, any other `diffusion_model.*` names, which stock
    loaders accept whatever the number of blocks. A rank trained beside a published LoRA is written together with it, by
    concatenation, which is exact.

    Args:
        run_dir: folder of the run.
        step: of the checkpoint; None takes the newest.
        out: folder to write; None takes the run's own `out`.
        dtype: bf16, fp16 or fp32; None is bf16, and fp16 for USO-mini, whose values are small.
        weights: `ema` takes the averaged weights where the run keeps them.

    Raises:
        ValueError: no such checkpoint, or values in it that are not finite.
        CheckpointError: a file does not hold what was written.
    """
    run_dir = Path(run_dir)
    config = read_run(run_dir)
    found = latest(run_dir, step)
    if found is None:
        which = "complete checkpoint" if step is None else f"complete checkpoint of step {step}"
        raise ValueError(f"{run_dir} holds no {which}; train first, or look at the checkpoint-* folders in it")
    average = found.average() if weights == "ema" else None
    parameters = average or found.trained()
    broken = [name for name, tensor in parameters.items() if not torch.isfinite(tensor).all()]
    if broken:
        raise ValueError(
            f"{found.folder.name} has values that are not finite in {', '.join(broken[:3])}; export another"
        )
    kind = _DTYPES[dtype or ("fp16" if config.models.mini else "bf16")]
    folder = Path(out) if out is not None else config.out
    folder.mkdir(parents=True, exist_ok=True)
    metadata = _metadata(config, found.step, read_data(run_dir))

    lines = [f"step {found.step} of {run_dir.name}, {'averaged' if average else 'live'} weights"]
    if config.stage == "base":
        tensors = {k: v.to(kind) for k, v in to_bfl(_part(parameters, "transformer.")).items()}
        lines.append(_write_plain(folder / TRANSFORMER, tensors, metadata))
    if config.stage == "triplet":
        lines.append(_write_lora(folder / LORA, _lora(config, parameters), metadata, kind))
    if config.stage != "base" and config.conditions.style_path == "siglip":
        tensors = {f"{PROJECTOR_PREFIX}{k}": v.to(kind) for k, v in _projector(config, parameters).items()}
        lines.append(_write_plain(folder / PROJECTOR, tensors, metadata))
    return "\n".join(lines)


def _part(parameters: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): t for name, t in parameters.items() if name.startswith(prefix)}


def _lora(config: TrainConfig, parameters: Mapping[str, Tensor]) -> Lora:
    trained = lora_from_parameters(_part(parameters, "transformer."))
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
    for name, part in lora.modules.items():
        copy = again.modules[name]
        assert torch.equal(copy.down, part.down.to(dtype)) and torch.equal(copy.up, (part.up * part.scale).to(dtype))
    tensors = read_safetensors(path)
    mapped = [key for key in tensors if _comfy_knows(key, known)]
    return f"{path}: rank {ranks}, {len(mapped)}/{len(tensors)} keys map in ComfyUI, values read back equal"


def _comfy_knows(key: str, known: Mapping[str, str]) -> bool:
    """Say whether stock ComfyUI applies a key: USO's names by its conversion (comfy/lora_convert.py), others by the
    names of FLUX's weights and `linear1_qkv` (comfy/lora.py)."""
    for side in (".down.weight", ".up.weight"):
        if key.removesuffix(side) in known.values():
            return True
    for side in (".lora_A.weight", ".lora_B.weight"):
        if key.removeprefix("diffusion_model.").removesuffix(side) in known:
            return True
    return False


def _write_plain(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    write_safetensors(path, tensors, metadata)
    again = read_safetensors(path)
    assert again.keys() == tensors.keys() and all(torch.equal(again[k], t) for k, t in tensors.items())
    return f"{path}: {len(tensors)} tensors, values read back equal"


def _metadata(config: TrainConfig, step: int, data: Mapping[str, str]) -> dict[str, str]:
    """Return what a file says about itself: modelspec 1.0.1 (Stability-AI/ModelSpec) and where it comes from."""
    full = not config.models.mini
    metadata = {
        "modelspec.sai_model_spec": "1.0.1",
        "modelspec.architecture": "flux-1-dev/lora" if full else "uso-mini/lora",
        "modelspec.implementation": "https://github.com/black-forest-labs/flux",
        "modelspec.title": config.loop.run_dir.name,
        "modelspec.date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "modelspec.license": LICENCE if full else "Apache-2.0",
        "uso.stage": config.stage,
        "uso.step": str(step),
        "uso.config": shareable(config),
        **data,
    }
    for name, path in {"base": transformer_file(config), "lora": lora_file(config)}.items():
        if path is not None and path.exists():
            metadata[f"uso.{name}_fingerprint"] = fingerprint(path)
    return metadata
