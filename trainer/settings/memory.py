"""Section `memory`: how the networks are held."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from .base import Settings

__all__ = ["MemoryConfig"]


class MemoryConfig(Settings):
    """How the frozen transformer is held."""

    base: Literal["fp32", "bf16", "fp8"] = Field("bf16", description="precision of the frozen weights")
    blocks_to_swap: int = Field(0, ge=0, description="so many blocks wait in RAM and visit the GPU in turn")
    modulation: Literal["resident", "offloaded"] = Field(
        "resident", description="offloaded: modulation layers stay in RAM, their outputs are computed there"
    )
    checkpointing: bool = Field(True, description="recompute each block in the backward pass")
    compile: bool = Field(False, description="torch.compile of each block: slow first steps, then faster ones")

    @property
    def in_ram(self) -> bool:
        """Whether part of the frozen transformer waits in RAM."""
        return self.blocks_to_swap > 0 or self.modulation == "offloaded"
