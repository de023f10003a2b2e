"""The memory plan of a recipe beside what is free."""

from __future__ import annotations

from collections.abc import Iterator

import psutil
import torch

from ..family import family_of
from ..memory.advice import advice
from ..memory.phases import Phase
from ..memory.plan import Device, plan, small_sizes
from ..recipe import TrainConfig
from .places import amount

__all__ = ["short_of_memory"]

_NAMED = 3
"""Settings that a note names at most."""


def short_of_memory(config: TrainConfig, device: int = 0) -> Iterator[str]:
    """Yield what the plan needs and is not free, with what to change; nothing for a family that needs no plan."""
    small = small_sizes(config) is not None
    if not small and family_of(config).memory_note(config) is not None:
        return
    ram, free = psutil.virtual_memory().available, None
    kind: Device = "cuda" if torch.cuda.is_available() else "cpu"
    if kind == "cuda":
        free = torch.cuda.mem_get_info(device)[0]
    elif not small:
        yield "there is no CUDA GPU: FLUX.1 is trained on the CPU, minutes for each step"
    phases = plan(config, device=kind, free=free).phases
    on_gpu, in_ram = max(phases, key=lambda one: one.on_gpu), max(phases, key=lambda one: one.in_ram)
    if free is not None and on_gpu.on_gpu > free:
        yield _short(config, kind, on_gpu, "gpu", on_gpu.on_gpu, free)
    if in_ram.in_ram > ram:
        yield _short(config, kind, in_ram, "ram", in_ram.in_ram, ram)


def _short(config: TrainConfig, device: Device, phase: Phase, room: str, needed: float, free: float) -> str:
    place = "on the GPU" if room == "gpu" else "of RAM"
    cures = [*advice(config, device, room, phase.name)[:_NAMED], "close other programs"]
    return (
        f"{phase.name} needs {amount(needed)} {place} by the plan, and {amount(free)} are free: {', or '.join(cures)}"
    )
