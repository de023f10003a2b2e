"""What all protocols that have a file say in it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from pydantic import Field

from ...settings.base import Settings
from ..bench import Row, Task
from .protocol import Asked, Built

__all__ = ["ProtocolFile", "drawn_by"]


class ProtocolFile(Settings):
    """Numbers of a protocol, and those of its paper."""

    name: str
    """The file's."""
    layout: str
    """Of its source."""
    width: int = Field(1024, gt=0)
    height: int = Field(1024, gt=0)
    steps: int = Field(25, gt=0)
    guidance: float = 4.0
    samples: dict[Task, int]
    """Pictures of each row."""
    published: dict[Task, dict[int, int]] = Field(default_factory=dict)
    """Pictures in all, as papers state them, by the pictures of each row."""
    notes: list[str] = Field(default_factory=list)

    def samples_of(self, task: Task, asked: Asked) -> int:
        """Return the pictures of each row of a task."""
        return self.samples[task] if asked.samples is None else asked.samples

    def built(self, rows: Sequence[Row], asked: Asked, notes: Sequence[str]) -> Built:
        """Return what is built of these rows."""
        width, height = asked.size or (self.width, self.height)
        published: dict[Task, int | None] = {
            task: totals.get(self.samples_of(task, asked)) for task, totals in self.published.items()
        }
        told = [*self.notes, *notes]
        if asked.limit is not None:
            told.append(f"a trial: the first {asked.limit} subjects, styles and prompts alone")
        return Built(rows, published, width, height, self.steps, self.guidance, told)


def drawn_by(name: str, count: int) -> int:
    """Return which of `count` is drawn, by a name alone."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") % count
