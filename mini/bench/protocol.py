"""`mini_bench`: USO's four tasks in the procedural world, for a model that draws on any laptop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from ...trainer.evaluate.measures import Measure
from ...trainer.evaluate.protocols.protocol import Asked, Built, ProblemList
from ...trainer.evaluate.protocols.store import Store
from ...uso_model.errors import UserError
from ...uso_model.judging.judge import Judge
from ..judges.vectors import as_judges, judge_files, read_judges
from ..model import PICTURE_SIZE
from .cases import CASES_SEED, Case, cases
from .measures import mini_measures
from .rows import MODES, rows_of

__all__ = ["CASES", "QUICK", "STEPS", "MiniBench", "mini_bench"]

CASES, QUICK = 256, 24
"""Held-out cases of the whole bench, and of a quick look: the first of the same."""

STEPS = 25


@dataclass(frozen=True)
class MiniBench:
    """Held-out cases, drawn in every mode.

    Attributes:
        name: of the protocol.
        cases: makes so many cases.
        count: how many there are.
        modes: names of MODES.
        steps: Euler steps.
    """

    name: str
    cases: Callable[[int], Sequence[Case]]
    count: int
    modes: Sequence[str] = MODES
    steps: int = STEPS

    def build(self, source: Path | None, store: Store, asked: Asked, problems: ProblemList) -> Built:
        """Return a row for each mode and case.

        Raises:
            UserError: a source, or another size or number of samples than USO-mini has.
        """
        if source is not None:
            raise UserError(f"got the source {source}, but {self.name} draws its own pictures; leave it out")
        if asked.samples not in (None, 1):
            raise UserError(f"got {asked.samples} samples, but {self.name} draws each row once; leave them out")
        if asked.size not in (None, (PICTURE_SIZE, PICTURE_SIZE)):
            raise UserError(f"got a size, but USO-mini draws {PICTURE_SIZE}x{PICTURE_SIZE} alone; leave it out")
        count = min(self.count, asked.limit or self.count)
        return Built(
            list(rows_of(self.cases(count), store, self.modes)),
            width=PICTURE_SIZE,
            height=PICTURE_SIZE,
            steps=self.steps,
            notes=[
                f"{count} cases of a procedural world, of styles and classes that no training triplet shows",
                "control: no reference and an empty prompt, compared with the references of the other tasks",
                "in the rows with a preserved layout the prompt is empty",
                "the likeness is that of the descriptor that the style reward trains on; the style judge took no part",
            ],
        )

    def judges(self, device: torch.device | str = "cpu") -> list[Judge]:
        """Return the bundled judges, by which the bench is scored where no others are named."""
        return [judge.to(device) for judge in as_judges(read_judges(), judge_files())]

    def measures(self, judges: Sequence[Judge], device: torch.device | str = "cpu") -> list[Measure]:
        """Return the measures of these judges in a world that knows what is right."""
        return mini_measures(judges, device)


mini_bench = MiniBench("comfyui_uso.mini.bench:mini_bench", lambda count: cases(count, CASES_SEED), CASES)
"""As `uso mini measure` has always drawn it."""
