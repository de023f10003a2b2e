"""Which settings save how much memory, by the plan: what to say where a recipe does not fit."""

from __future__ import annotations

from typing import Any

from ..recipe import TrainConfig
from .plan import Device, MemoryPlan, plan
from .weights import flux_sizes

__all__ = ["advice"]

_SIZES = (1024, 768, 512, 384, 256)
_LEAST = 0.05e9
"""Bytes below which a change is not worth a word."""


def advice(config: TrainConfig, device: Device = "cuda", room: str = "gpu", phase: str | None = None) -> list[str]:
    """Return the settings that would save memory, as `data.size=512 saves 2.4 GB`, the most first.

    Args:
        config: the recipe that does not fit.
        device: what computes.
        room: `gpu` or `ram`, whichever is too small; on the CPU everything is RAM.
        phase: name of the phase that does not fit, see `MemoryPlan.phases`; None takes the most demanding.
    """
    now = _needed(plan(config, device=device), device, room, phase)
    saved: list[tuple[float, str]] = []
    for section, name, value in _candidates(config):
        part = getattr(config, section)
        if getattr(part, name) == value:
            continue
        changed = config.model_copy(update={section: part.model_copy(update={name: value})})
        less = now - _needed(plan(changed, device=device), device, room, phase)
        if less >= _LEAST:
            saved.append((less, f"{section}.{name}={_text(value)}"))
    return [f"{setting} saves {less / 1e9:.1f} GB" for less, setting in sorted(saved, reverse=True)]


def _needed(planned: MemoryPlan, device: Device, room: str, phase: str | None) -> float:
    """Return the bytes of a phase, or of the most demanding one; a phase that is left out needs none."""
    on_gpu = device == "cuda" and room == "gpu"
    if phase is None:
        return planned.gpu_needed if on_gpu else planned.ram_needed
    return sum(one.on_gpu if on_gpu else one.in_ram for one in planned.phases if one.name == phase)


def _candidates(config: TrainConfig) -> list[tuple[str, str, Any]]:
    """Return changes that the recipe allows each by itself, as section, name and value."""
    data, loop, memory = config.data, config.loop, config.memory
    sizes = flux_sizes(config)
    found: list[tuple[str, str, Any]] = [
        ("monitor", "samples_every", 0),
        ("models", "text_device", "cpu"),
        ("data", "style_features", "cached"),
        ("data", "cache_memory", 0),
        ("data", "styles", 1),
        ("loop", "ema", None),
        ("memory", "checkpointing", True),
        ("memory", "modulation", "resident"),
        ("memory", "blocks_to_swap", 0),
    ]
    found += [("data", "size", size) for size in _SIZES if size < data.sizes[-1]][:2]
    found += [("data", "content_size", size) for size in _SIZES if size < data.content_size][:1]
    if (loop.micro_batch or loop.batch_size) > 1:
        found.append(("loop", "micro_batch", 1))
    if loop.optimizer != "adamw8bit":
        found.append(("loop", "optimizer", "adamw8bit"))
    if config.stage == "triplet" and config.lora.start != "continue" and config.lora.new_rank > 1:
        found.append(("lora", "rank", config.lora.new_rank // 2))
    if config.stage != "base" and loop.precision == "bf16":
        found.append(("memory", "base", "fp8"))
    if config.stage != "base" and not memory.compile:
        found.append(("memory", "modulation", "offloaded"))
        if memory.checkpointing:
            found.append(("memory", "blocks_to_swap", sizes.depth + sizes.depth_single_blocks))
    return found


def _text(value: Any) -> str:
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
