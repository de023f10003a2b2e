"""The memory plan of a recipe beside what is free."""

from __future__ import annotations

from collections.abc import Iterator

import psutil
import torch

from ..family import family_of
from ..memory.plan import plan
from ..recipe import TrainConfig
from .places import amount

__all__ = ["short_of_memory"]


def short_of_memory(config: TrainConfig, device: int = 0) -> Iterator[str]:
    """Yield what the plan needs and is not free, with what to change; nothing for a family that needs no plan."""
    if family_of(config).memory_note(config) is not None:
        return
    needed, ram = plan(config), psutil.virtual_memory().available
    in_ram = sum(needed.ram.values())
    if torch.cuda.is_available():
        free = torch.cuda.mem_get_info(device)[0]
        if needed.on_gpu > free:
            yield _short("training", needed.on_gpu, free, "on the GPU", _less_on_gpu(config))
        if needed.encoding > free:
            cure = "close other programs (ComfyUI holds its models), or encode elsewhere with `uso cache`"
            yield _short("encoding the prompts", needed.encoding, free, "on the GPU", cure)
    else:
        in_ram += needed.on_gpu
        yield "there is no CUDA GPU: FLUX.1 is trained on the CPU, minutes for each step"
    if in_ram > ram:
        yield _short("training", in_ram, ram, "in RAM", "lower memory.blocks_to_swap, or close other programs")


def _short(what: str, needed: float, free: float, place: str, cure: str) -> str:
    return f"{what} needs {amount(needed)} {place} by the plan, and {amount(free)} are free: {cure}"


def _less_on_gpu(config: TrainConfig) -> str:
    memory = config.memory
    cures = [f"raise memory.blocks_to_swap (now {memory.blocks_to_swap})"]
    cures += ["set memory.base=fp8"] if memory.base != "fp8" else []
    cures += ["set memory.modulation=offloaded"] if memory.modulation != "offloaded" else []
    cures += ["set memory.checkpointing=true"] if not memory.checkpointing else []
    cures += [f"lower data.size (now {max(config.data.sizes)}) or lora.rank", "close other programs"]
    return ", ".join(cures)
