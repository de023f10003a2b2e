"""The loss of each row in each step, in a file of the run's folder: by it rows that do not fit the others are found."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ...uso_model.errors import UserError
from ..settings.loop import LoopConfig
from .byproduct import byproduct
from .crash import Observed
from .distributed import gather

__all__ = ["ROW_LOSSES", "RowLoss", "RowLosses", "read_row_losses"]

ROW_LOSSES = "rows.jsonl"
"""Lines `[step, id, t, loss]`."""


class RowLoss(NamedTuple):
    """The loss of a row in a step."""

    step: int
    """Finished steps."""
    id: str
    t: float
    """Time of its noise."""
    loss: float


class RowLosses:
    """Collects losses and appends them to the file when asked to."""

    def __init__(self, config: LoopConfig, main: bool):
        self._path, self._on, self._main = config.run_dir / ROW_LOSSES, config.row_losses, main
        self._lines: list[str] = []

    def add(self, step: int, observed: Sequence[Observed]) -> None:
        """Take in the losses of a step; only terms that tell their rows' times count."""
        for part in observed if self._on else ():
            if part.names and "times" in part.losses:
                values = (part.losses["times"].tolist(), part.losses["rows"].tolist())
                for name, t, loss in zip(part.names, *values, strict=True):
                    self._lines.append(json.dumps([step, name, round(t, 4), float(f"{loss:.4g}")], ensure_ascii=False))

    def write(self) -> None:
        """Append what all processes have collected; each of them must call this. A file that cannot be written ends no
        run."""
        lines = [line for own in gather(self._lines) for line in own]
        self._lines = []
        if self._main and lines:
            with (
                byproduct("writing the losses of rows", "Training does not need them."),
                self._path.open("a", encoding="utf-8") as file,
            ):
                file.write("".join(f"{line}\n" for line in lines))


def read_row_losses(run_dir: Path) -> list[RowLoss]:
    """Return all that a run has kept; lines that a kill has torn are left out.

    Raises:
        UserError: the run has kept nothing.
    """
    path = run_dir / ROW_LOSSES
    found = []
    if path.is_file():
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                step, name, t, loss = json.loads(line)
                found.append(RowLoss(int(step), str(name), float(t), float(loss)))
            except (ValueError, TypeError):
                continue
    if not found:
        raise UserError(f"{run_dir} holds no losses of rows ({ROW_LOSSES}); train with loop.row_losses true")
    return found
