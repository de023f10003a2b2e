"""Write what a run trained as files that ComfyUI loads, and read them back to be sure."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from ...uso_model.checkpoints import (
    CheckpointError,
    Lora,
    load_projector,
    read_lora,
    read_metadata,
    to_bfl,
)
from ...uso_model.checkpoints.files import remove_leftovers
from ...uso_model.checkpoints.lora import concatenate, has_uso_layers
from ...uso_model.checkpoints.marks import OWN_PART, WITH_START_PART, WITH_USO_PART, trained_beside
from ...uso_model.errors import UserError
from ...uso_model.projector import PREFIX
from ...uso_model.writing import left_behind
from ..engine.checkpoint import Checkpoint, latest
from ..engine.events import EVENTS
from ..family import family_of
from ..lora.adapters import lora_from_parameters
from ..memory.weights import flux_sizes
from ..recipe import TrainConfig
from ..run_folder import read_data, read_run
from ..starting_files import lora_file, projector_file
from .files import ASKED, CHECKPOINT, Writer, is_of_run, metadata_of
from .names import OWN, PROJECTOR, WITH_START, WITH_USO, Part, exported, file_name

__all__ = ["Parts", "advice", "complete", "export", "export_run", "require_own_files"]

logger = logging.getLogger(__name__)

Parts = Literal["own", "with-uso", "both"]
"""Of a LoRA trained beside USO: itself, or together with USO."""

LOADER = "USO Load Models"
"""Node that takes what is exported, unless the model family has an attribute `loader` with the name of another."""

_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}


def export_run(
    run_dir: str | Path,
    step: int | None = None,
    out: str | Path | None = None,
    dtype: str | None = None,
    weights: Literal["ema", "live"] = "ema",
    parts: Parts = "both",
) -> str:
    """Write a checkpoint's networks, read from the run's folder, and return a report; see `export`.

    Args:
        run_dir: folder of the run.
        step: of the checkpoint; None takes the newest.
        out: folder to write; None takes the run's own `out`.
        dtype: see `export`.
        weights: `ema` takes the averaged weights where the run keeps them.
        parts: see `export`.

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
    report = export(config, found, ema or found.trained(), read_data(run_dir), out, dtype, parts, ema is not None, True)
    used = advice(config, found.step, out)
    return f"step {found.step} of {run_dir.name}, {'averaged' if ema else 'live'} weights\n{report}\n{used}"


def export(
    config: TrainConfig,
    found: Checkpoint,
    parameters: Mapping[str, Tensor],
    data: Mapping[str, str],
    out: str | Path | None = None,
    dtype: str | None = None,
    parts: Parts = "both",
    averaged: bool = True,
    asked: bool = False,
) -> str:
    """Write the networks that a stage trained and return a report.

    Stage `base` gives a FLUX file, `style` a projector, `triplet` a LoRA and the projector that belongs to it. A LoRA
    on all 19 + 38 blocks of FLUX.1 gets USO's own 304 key names, any other `diffusion_model.*` names, which stock
    loaders accept whatever the number of blocks. A rank trained beside a published LoRA is written alone, and together
    with it by concatenation, which is exact.

    What was trained is kept of every step. What is large and can be made again, the whole network of stage `base`, the
    LoRA with USO, and a projector that was not trained, is kept of the newest step and of those that were asked for.

    Args:
        config: the stage.
        found: checkpoint that the parameters are of.
        parameters: trained ones, named as in `Networks.together`.
        data: what `write_run` returned of the rows.
        out: folder to write; None takes the run's own.
        dtype: bf16, fp16 or fp32; None takes the family's.
        parts: which of the two LoRAs of a rank that was trained beside another.
        averaged: the parameters are the averaged ones where the checkpoint has them.
        asked: a person asked for these files.

    Raises:
        UserError: values that are not finite, a file of another run is in the way, or the stage has no such part.
        CheckpointError: a file does not hold what was written.
        OSError: a file cannot be written.
    """
    broken = [name for name, tensor in parameters.items() if not torch.isfinite(tensor).all()]
    if broken:
        raise UserError(f"step {found.step} has values that are not finite in {', '.join(broken[:3])}; export another")
    wanted = _parts(config)
    together = [part for part in wanted if part in (WITH_USO, WITH_START)]
    if parts == "with-uso" and not together:
        raise UserError(
            f"{config.loop.run_dir.name} has no part with USO: that is for lora.start add in stage triplet; export it "
            "with --part own"
        )
    left_out: Sequence[Part] = {"own": together, "with-uso": [OWN]}.get(parts, [])
    folder = config.folder if out is None else Path(out)
    require_own_files(config, folder)
    folder.mkdir(parents=True, exist_ok=True)
    if _is_inside(folder, config.loop.run_dir):
        remove_leftovers(folder)
    info = {
        **metadata_of(config, found.step, data),
        CHECKPOINT: found.digest(averaged),
        **({ASKED: "1"} if asked else {}),
    }
    values = _DTYPES[dtype or family_of(config).export_dtype]
    write = Writer(folder, config.loop.run_dir.name, found.step, info, values, flux_sizes(config).in_channels)
    for part in (part for part in wanted if part not in left_out):
        _write(write, part, config, parameters)
    if out is None and not asked:
        _remove_older(config, found.step)
    EVENTS.emit("export", step=found.step, files=write.files)
    return "\n".join(write.told)


def complete(config: TrainConfig, found: Checkpoint) -> bool:
    """Whether the run's own folder has all files of a checkpoint, each made of these very weights."""
    name = config.loop.run_dir.name
    for part in _parts(config):
        path = config.folder / file_name(name, found.step, part)
        try:
            if read_metadata(path).get(CHECKPOINT) not in (found.digest(True), found.digest(False)):
                return False
        except CheckpointError:
            return False
    return True


def require_own_files(config: TrainConfig, folder: Path | None = None) -> None:
    """Make sure that the files to be written replace none but the run's own.

    Args:
        config: the stage.
        folder: to be written; None takes the run's own.

    Raises:
        UserError: a file with the run's name is there that another run, or none of ours, has written.
    """
    run_dir = config.loop.run_dir
    folder = config.folder if folder is None else folder
    if _is_inside(folder, run_dir):
        return  # whatever lies in a run's folder came with the run
    for file in exported(folder):
        if file.run == run_dir.name and not is_of_run(file.path, run_dir):
            raise UserError(
                f"{file.path} is there and was not written by the run {run_dir.name}; name another folder with `out`, "
                "give the run another name, or move the file away"
            )


def _is_inside(folder: Path, run_dir: Path) -> bool:
    return folder.absolute().is_relative_to(run_dir.absolute())


def _parts(config: TrainConfig) -> list[Part]:
    """Return the files that a stage gives."""
    if config.stage == "base":
        return [OWN]
    if config.stage == "style":
        return [PROJECTOR]
    projector = [PROJECTOR] if config.conditions.style_path == "siglip" else []
    together = [WITH_USO if _beside(config) is None else WITH_START] if config.lora.start == "add" else []
    return [OWN, *projector, *together]


def _beside(config: TrainConfig) -> str | None:
    """Return the name of the LoRA beside which a rank is trained, None where that is USO's, by its layers."""
    path = lora_file(config)
    if path is None or not path.is_file() or has_uso_layers(read_lora(path)):
        return None
    return path.name


def _write(write: Writer, part: Part, config: TrainConfig, parameters: Mapping[str, Tensor]) -> None:
    if part == PROJECTOR:
        write.plain(part, {f"{PREFIX}{name}": value for name, value in _projector(config, parameters).items()})
    elif config.stage == "base":
        write.plain(part, to_bfl(_under(parameters, "transformer.")))
    else:
        lora = lora_from_parameters(_under(parameters, "transformer."), config.lora.alpha)
        lora = replace(lora, isolated=config.conditions.isolated)
        if config.lora.start != "add":
            write.lora(part, lora, {})
        else:
            other = _beside(config)
            marks = {
                OWN: OWN_PART if other is None else trained_beside(other),
                WITH_USO: WITH_USO_PART,
                WITH_START: WITH_START_PART,
            }
            write.lora(part, lora if part == OWN else _with_start(config, lora), marks[part])


def _under(parameters: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): t.detach() for name, t in parameters.items() if name.startswith(prefix)}


def _with_start(config: TrainConfig, trained: Lora) -> Lora:
    path = lora_file(config)
    assert path is not None  # `add` has a LoRA to add to
    return concatenate(read_lora(path), trained)


def _projector(config: TrainConfig, parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
    trained = _under(parameters, "projector.")
    if trained:
        return trained
    path = projector_file(config)
    assert path is not None  # only stage `style` has none, and there it is trained
    return load_projector(path).state_dict()  # frozen: the one that the LoRA was trained with


def _remove_older(config: TrainConfig, step: int) -> None:
    """Remove what is kept of the newest step alone."""
    large = {WITH_USO, WITH_START} if config.stage != "base" else {OWN}
    if config.stage == "triplet" and not config.train_projector:
        large.add(PROJECTOR)
    for file in exported(config.folder):
        ours = file.part in large and file.step < step and is_of_run(file.path, config.loop.run_dir)
        if ours and ASKED not in read_metadata(file.path):
            why = left_behind(file.path, patient=True)
            if why is not None:
                logger.warning("%s", why)


def advice(config: TrainConfig, step: int, out: str | Path | None = None) -> str:
    """Say which of a step's files to load in ComfyUI, and what beside it, or that there are none.

    Args:
        config: the stage.
        step: optimiser steps.
        out: folder of the files; None takes the run's own.
    """
    folder, run_dir = config.folder if out is None else Path(out), config.loop.run_dir
    names = {file.part: file.path.name for file in exported(folder) if (file.run, file.step) == (run_dir.name, step)}
    if not names:
        return f"{folder} holds nothing of step {step} of {run_dir.name}; write it with `uso export {run_dir}`"
    node = getattr(family_of(config), "loader", LOADER)
    told = []
    if config.stage == "base" and OWN in names:
        told.append(f"{names[OWN]} is the FLUX that other stages start from (models/diffusion_models)")
    elif OWN in names and config.lora.start == "add":
        other = None if WITH_USO in names else _beside(config)
        alone = "USO's own LoRA" if other is None else f"{other}, which is not USO's"
        told.append(f"put {names[OWN]} (models/loras) on the model of {node} with LoraLoaderModelOnly, beside {alone}")
    elif OWN in names:
        told.append(
            f"choose {names[OWN]} (models/loras) as the LoRA of {node}, in the place of USO's and not beside it"
        )
    if WITH_USO in names:
        start = "or choose" if OWN in names else "choose"
        told.append(
            f"{start} {names[WITH_USO]} as the LoRA of {node}: it contains USO's, which must not be there twice"
        )
    if WITH_START in names:
        start = "or put" if OWN in names else "put"
        told.append(
            f"{start} {names[WITH_START]} there alone: it contains the LoRA that the run began with, which is not USO's"
        )
    if PROJECTOR in names:
        told.append(f"choose {names[PROJECTOR]} (models/model_patches) as the projector")
    return f"{folder} holds step {step} of {run_dir.name}; in ComfyUI, {'; '.join(told)}"
