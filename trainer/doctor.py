"""What this machine can train: versions, room, model files, and the memory that recipes need."""

from __future__ import annotations

import platform
import shutil
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil
import torch

from .data.cache_plan import cache_bytes
from .data.sources import every_row
from .family import family_of
from .memory.plan import MemoryPlan, memory_text, plan
from .recipe import TrainConfig
from .recipe_files import RECIPES, load_recipe, recipe_names

__all__ = ["diagnose"]

PACKAGES = ("torch", "transformers", "accelerate", "peft", "safetensors", "open_clip_torch", "tensorboard")
OPTIONAL = ("bitsandbytes", "prodigyopt", "wandb", "trackio")
LADDER = ("adapt_24gb", "adapt_16gb", "adapt_12gb")
"""Recipes for one GPU, the most demanding first."""

GB = 1e9


def diagnose(config: TrainConfig | None = None) -> str:
    """Return a report; nothing is downloaded or written.

    Args:
        config: recipe to plan for; None plans for every shipped one and recommends one for this GPU.
    """
    lines = [f"Python {platform.python_version()}, {', '.join(_version(name) for name in PACKAGES)}"]
    lines.append(f"optional: {', '.join(_version(name) for name in OPTIONAL)}")
    free = _gpu(lines)
    memory, disk = psutil.virtual_memory(), shutil.disk_usage(Path.cwd())
    room = f"{memory.available / GB:.0f} of {memory.total / GB:.0f} GB free"
    lines.append(f"RAM {room}, disk {disk.free / GB:.0f} GB free")
    if config is not None:
        return "\n".join([*lines, "", *_planned(config, free, memory.available)])
    for name in recipe_names():
        lines += ["", f"{name}:", memory_text(load_recipe(RECIPES / f"{name}.yaml"))]
    return "\n".join([*lines, "", _recommendation(free)])


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


def _planned(config: TrainConfig, free: float | None, ram: int) -> list[str]:
    lines = [f"stage {config.stage}, {config.loop.steps} steps of {config.loop.batch_size} rows"]
    note = family_of(config).memory_note(config)
    if note is not None:
        lines.append(note)
    else:
        needed = plan(config)
        lines += [f"  {needed.tokens} tokens a row", needed.text()]
        if free is not None:
            verdict = "fits" if _most(needed) <= free else "DOES NOT FIT"
            lines.append(f"  {verdict}: {free / GB:.1f} GB are free on the GPU")
        if sum(needed.ram.values()) > ram:
            lines.append(f"  DOES NOT FIT: {ram / GB:.1f} GB are free in RAM")
        lines += _cache(config)
    files = [(name, path) for name, path in config.models if isinstance(path, Path)]
    files += [("manifest", source.path) for source in config.data.sources]
    lines += [f"  {name}: {path} {'found' if path.exists() else 'IS MISSING'}" for name, path in files]
    return lines


def _cache(config: TrainConfig) -> list[str]:
    """Return what the encodings of the rows will take on the disk, where the manifests can be read."""
    if not all(source.path.is_file() for source in config.data.sources):
        return []
    rows = every_row(config.data)
    needed = cache_bytes(config, rows)
    cache = config.data.cache.absolute()
    free = shutil.disk_usage(next(folder for folder in (cache, *cache.parents) if folder.exists())).free
    line = f"  encodings of {len(rows)} rows in {config.data.cache}: {needed / GB:.1f} GB, {free / GB:.1f} GB are free"
    return [line if needed <= free else f"{line}: DO NOT FIT"]


def _recommendation(free: float | None) -> str:
    if free is None:
        return "recommended here: uso train toy"
    for name in LADDER:
        if _most(plan(load_recipe(RECIPES / f"{name}.yaml"))) <= free:
            return f"recommended here: {name}, or my_style and my_subject for a few pictures of your own"
    return "recommended here: nothing; T5 alone needs 10 GB of the GPU, and the free memory is less"


def _most(needed: MemoryPlan) -> float:
    """Return the bytes that must be free on the GPU, to train or to encode the prompts first."""
    return max(needed.on_gpu, needed.encoding)
