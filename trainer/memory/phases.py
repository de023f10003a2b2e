"""What a memory plan says: bytes by what they are for, on the GPU, in RAM and in mapped files, phase by phase."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["PROMPTS", "Items", "MemoryPlan", "Phase"]

PROMPTS = "encoding prompts"
"""Name of the first phase."""

Items = dict[str, float]


class Phase(NamedTuple):
    """Bytes by what they are for, at the peak of one phase."""

    name: str
    gpu: Items
    ram: Items
    """Private memory, which must be free."""
    mapped: Items
    """Files that are read through the system's cache: quicker where they find room, no harm where they do not."""

    @property
    def on_gpu(self) -> float:
        """Bytes on the GPU."""
        return sum(self.gpu.values())

    @property
    def in_ram(self) -> float:
        """Bytes of private memory."""
        return sum(self.ram.values())

    @property
    def from_files(self) -> float:
        """Bytes of mapped files."""
        return sum(self.mapped.values())


class MemoryPlan(NamedTuple):
    """The phases of a run, in the order in which they come."""

    phases: tuple[Phase, ...]
    tokens: int
    """Tokens of one row, the longest sequence."""
    movable: bool
    """Whether prompts are encoded on the GPU only if they find room there: `models.text_device` auto."""

    @property
    def gpu(self) -> Items:
        """Bytes on the GPU by what they are for, at the peak of training and of what is done in between."""
        return max((phase for phase in self.phases if not phase.name.startswith("encoding")), key=_on_gpu).gpu

    @property
    def ram(self) -> Items:
        """Bytes of private RAM by what they are for, at the peak of the whole run."""
        return max(self.phases, key=lambda phase: phase.in_ram).ram

    @property
    def on_gpu(self) -> float:
        """Bytes on the GPU at the peak of training."""
        return sum(self.gpu.values())

    @property
    def encoding(self) -> float:
        """Bytes on the GPU while prompts and pictures are encoded, before training."""
        return max(phase.on_gpu for phase in self.phases if phase.name.startswith("encoding"))

    @property
    def gpu_needed(self) -> float:
        """Bytes that must be free on the GPU; prompts that may be encoded on the CPU do not count."""
        return max(phase.on_gpu for phase in self.phases if not (self.movable and phase.name == PROMPTS))

    @property
    def ram_needed(self) -> float:
        """Bytes of RAM that must be free."""
        return max(phase.in_ram for phase in self.phases)

    def text(self) -> str:
        """Return a table in GB, and what the most of it is."""
        lines = [f"  {'GB':<26}{'GPU':>7}{'RAM':>7}  files read through"]
        for phase in self.phases:
            sizes = f"{phase.on_gpu / 1e9:7.1f}{phase.in_ram / 1e9:7.1f}{phase.from_files / 1e9:7.1f}"
            lines.append(f"  {phase.name:<26}{sizes}")
        if self.encoding or self.on_gpu:
            lines.append(f"  most on the GPU, training: {_listed(self.gpu)}")
        return "\n".join([*lines, f"  most in RAM: {_listed(self.ram)}"])


def _on_gpu(phase: Phase) -> float:
    return phase.on_gpu


def _listed(items: Items) -> str:
    return ", ".join(f"{name} {size / 1e9:.1f}" for name, size in sorted(items.items(), key=lambda item: -item[1]))
