"""What is left behind when a loss or a gradient is not finite: the rows, the losses and where the gradient broke."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

__all__ = ["Observed", "report_crash"]


class Observed(NamedTuple):
    """The losses of one term on one micro-batch."""

    term: str
    names: list[str]
    """Ids of the rows; empty where the data has none."""
    losses: dict[str, Tensor]
    """As the term returned them."""

    def broken(self) -> list[str]:
        """Return the ids of the rows whose own loss is not finite."""
        rows = self.losses.get("rows")
        if rows is None or not self.names:
            return []
        return [name for name, fine in zip(self.names, torch.isfinite(rows).tolist(), strict=True) if not fine]


def report_crash(
    run_dir: Path, step: int, observed: list[Observed], trained: Mapping[str, nn.Parameter], norm: float
) -> FloatingPointError:
    """Write `crash/step-0000100/report.json` and return the error that names the rows and the folder.

    Args:
        run_dir: folder of the run.
        step: number of the step that was not taken.
        observed: every loss of the step.
        trained: parameters with the gradients of the step.
        norm: of the whole gradient.
    """
    folder = run_dir / "crash" / f"step-{step:07d}"
    folder.mkdir(parents=True, exist_ok=True)
    gradients = [n for n, p in trained.items() if p.grad is not None and not torch.isfinite(p.grad).all()]
    broken = sorted({name for part in observed for name in part.broken()})
    rows = sorted({name for part in observed for name in part.names})
    report = {
        "step": step,
        "gradient_norm": str(norm),
        "rows": rows,
        "rows_not_finite": broken,
        "gradients_not_finite": gradients,
        "losses": [
            {"term": part.term, "rows": part.names, **{k: str(v.tolist()) for k, v in part.losses.items()}}
            for part in observed
        ],
    }
    (folder / "report.json").write_text(json.dumps(report, indent=1), encoding="utf-8")
    first = next(iter(observed), None)
    loss = first.losses["loss"].item() if first else float("nan")
    blame = f"row {', '.join(broken)}" if broken else f"one of the rows {', '.join(rows)}" if rows else "its batch"
    return FloatingPointError(
        f"step {step} has loss {loss} and gradient norm {norm}, from {blame}; the step was not taken and the last "
        f"checkpoint stands; see {folder}, look at the row or lower the learning rate"
    )
