"""What this machine can train: versions, room, model files, and the memory that recipes need."""

from __future__ import annotations

import platform
import shutil
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

import psutil
import torch

from ..uso_model.checkpoints.strict import counted
from ..uso_model.errors import UserError
from .encoders.open import open_encoders
from .engine.checkpoint import to_go_on_from
from .family import family_of
from .memory.plan import memory_text, plan
from .preflight import Findings, look
from .preflight.places import cache_needs
from .preflight.rows import read_rows
from .reading.recipe_files import RECIPES, load_recipe, recipe_names
from .recipe import TrainConfig
from .run_folder import require_unchanged
from .train import training_data

__all__ = ["Diagnosis", "diagnose"]

PACKAGES = ("torch", "transformers", "accelerate", "peft", "safetensors", "open_clip_torch", "tensorboard")
OPTIONAL = ("bitsandbytes", "prodigyopt", "wandb", "trackio")
LADDER = ("adapt_24gb", "adapt_16gb", "adapt_12gb")
"""Recipes for one GPU, the most demanding first."""

GB = 1e9


class Diagnosis(NamedTuple):
    """What the doctor says."""

    text: str
    problems: list[str]
    """What would end a training by the recipe."""


def diagnose(config: TrainConfig | None = None) -> Diagnosis:
    """Return a report; nothing is downloaded or kept.

    Args:
        config: recipe to look at; None plans for every shipped one and recommends one for this GPU.
    """
    lines = [f"Python {platform.python_version()}, {', '.join(_version(name) for name in PACKAGES)}"]
    lines.append(f"optional: {', '.join(_version(name) for name in OPTIONAL)}")
    free = _gpu(lines)
    memory, disk = psutil.virtual_memory(), shutil.disk_usage(Path.cwd())
    room = f"{memory.available / GB:.0f} of {memory.total / GB:.0f} GB free"
    lines.append(f"RAM {room}, disk {disk.free / GB:.0f} GB free")
    if config is not None:
        findings = _examined(config)
        told = [*_planned(config), *_listed("problem", findings.problems), *_listed("note", findings.notes)]
        verdict = f"{counted(len(findings.problems), 'problem')}, {counted(len(findings.notes), 'note')}"
        return Diagnosis("\n".join([*lines, "", *told, verdict]), findings.problems)
    for name in recipe_names():
        lines += ["", f"{name}:", memory_text(load_recipe(RECIPES / f"{name}.yaml"))]
    return Diagnosis("\n".join([*lines, "", _recommendation(free)]), [])


def _examined(config: TrainConfig) -> Findings:
    """Return what `uso train` would find before it encodes anything."""
    problems, notes = look(config)
    try:
        require_unchanged(config)
        to_go_on_from(config.loop.run_dir)
        if not problems:  # what the files' headers cannot tell: tokenizers, and rows that no stage can use
            training_data(config, open_encoders(config))
    except UserError as error:
        problems = [*problems, str(error)]
    return Findings(problems, notes)


def _listed(kind: str, found: list[str]) -> list[str]:
    return [f"  {kind}: {one}" for one in found]


def _version(package: str) -> str:
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return f"{package} not installed"


def _gpu(lines: list[str]) -> float | None:
    """Add a line for each GPU and return the free bytes of the first."""
    if not torch.cuda.is_available():
        lines.append("no CUDA GPU: the recipe toy trains on the CPU, FLUX.1 does not")
        return None
    for n in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(n)
        name, kind = torch.cuda.get_device_name(n), torch.cuda.get_device_capability(n)
        lines.append(f"GPU {n}: {name}, {free / GB:.1f} of {total / GB:.1f} GB free, compute {kind[0]}.{kind[1]}")
    return float(torch.cuda.mem_get_info(0)[0])


def _planned(config: TrainConfig) -> list[str]:
    """Return the plan of memory and disk, and what is named and there."""
    length = f"{config.loop.steps} steps" if config.loop.epochs is None else f"{config.loop.epochs:g} epochs in steps"
    lines = [f"stage {config.stage}, {length} of {config.loop.batch_size} rows"]
    note = family_of(config).memory_note(config)
    lines += [note] if note is not None else _memory(config)
    files = [(f"models.{name}", path) for name, path in config.models.named_files.items()]
    files += [("data.manifests", source.path) for source in config.data.sources]
    lines += [f"  {name}: {path} {'found' if path.exists() else 'IS MISSING'}" for name, path in files]
    rows = read_rows(config, [])
    needed = cache_needs(config, rows)
    if rows and needed:
        lines.append(f"  encodings of {len(rows)} rows in {config.data.cache}: {needed / GB:.1f} GB")
    return lines


def _memory(config: TrainConfig) -> list[str]:
    try:
        planned = plan(config, device="cuda" if torch.cuda.is_available() else "cpu")
    except UserError as error:
        return [f"  no plan of memory: {error}"]
    return [f"  {planned.tokens} tokens a row", planned.text()]


def _recommendation(free: float | None) -> str:
    if free is None:
        return "recommended here: uso train toy"
    for name in LADDER:
        needed = plan(load_recipe(RECIPES / f"{name}.yaml"), free=free).gpu_needed
        if needed <= free:
            return f"recommended here: {name}, or my_style and my_subject for a few pictures of your own"
    return f"recommended here: nothing; {LADDER[-1]}, the smallest, needs {needed / GB:.1f} GB of the GPU"
