"""What is left behind when a loss or a gradient is not finite: the rows, the losses and where the gradient broke."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from .byproduct import byproduct

__all__ = ["NotFinite", "Observed", "report_crash"]


class NotFinite(FloatingPointError):
    """A loss or a gradient is not finite."""

    def __init__(self, message: str, rows: Sequence[str], folder: Path):
        """Say so, with the ids of the rows that may be to blame and the folder of the report."""
        super().__init__(message)
        self.rows, self.folder = list(rows), folder


class Observed(NamedTuple):
    """The losses of one term on one micro-batch."""

    term: str
    names: list[str]
    """Ids of the rows; empty where the data has none."""
    losses: dict[str, Tensor]
    """As the term returned them."""

    def record(self) -> dict[str, Any]:
        """Return plain values for a report, with the ids of the rows whose own loss is not finite."""
        rows = self.losses.get("rows")
        broken = []
        if rows is not None and self.names:
            fine = torch.isfinite(rows).tolist()
            broken = [name for name, good in zip(self.names, fine, strict=True) if not good]
        values = {name: str(value.tolist()) for name, value in self.losses.items()}
        return {"term": self.term, "names": self.names, "broken": broken, **values}


def report_crash(
    run_dir: Path,
    step: int,
    records: Sequence[Mapping[str, Any]],
    trained: Mapping[str, nn.Parameter],
    norm: float,
    writes: bool,
) -> NotFinite:
    """Write `crash/step-0000100/report.json` and return the error that names the rows and the folder.

    Args:
        run_dir: folder of the run.
        step: number of the step that was not taken.
        records: of every loss of the step, on all processes.
        trained: parameters with the gradients of the step.
        norm: of the whole gradient.
        writes: this process writes the report.
    """
    folder = run_dir / "crash" / f"step-{step:07d}"
    gradients = [n for n, p in trained.items() if p.grad is not None and not torch.isfinite(p.grad).all()]
    broken = sorted({name for record in records for name in record["broken"]})
    rows = sorted({name for record in records for name in record["names"]})
    if writes:
        report = {
            "step": step,
            "gradient_norm": str(norm),
            "rows": rows,
            "rows_not_finite": broken,
            "gradients_not_finite": gradients,
            "losses": list(records),
        }
        with byproduct("the report of it", "What follows is all that is known."):
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "report.json").write_text(json.dumps(report, indent=1), encoding="utf-8")
    losses = ", ".join(record["loss"] for record in records[:4])
    blame = f"row {', '.join(broken)}" if broken else f"one of the rows {', '.join(rows)}" if rows else "its batch"
    return NotFinite(
        f"step {step} has loss {losses} and gradient norm {norm}, from {blame}; the step was not taken and the last "
        f"checkpoint stands; see {folder}, look at the row or lower the learning rate",
        broken or rows,
        folder,
    )
