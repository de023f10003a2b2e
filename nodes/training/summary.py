"""The table of a run's checkpoints."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .results import Results
from .sets import TrainingSet

__all__ = ["sample_sheets", "table"]

_LOG, _SAMPLES = "log.jsonl", "samples"
"""In a run's folder."""


def table(run: Path, made: TrainingSet, found: Results, seconds: float, told: list[str]) -> str:
    """Return what was trained on what, a line for each checkpoint with its loss, and what is to be said.

    Args:
        run: folder of the run.
        made: the set.
        found: files of the run.
        seconds: that this training took.
        told: further sentences.
    """
    losses = {step: loss for step, loss in _losses(run)}
    lines = [f"{run.name}: {made.kind} of {made.name}, {made.rows} rows, {seconds:.0f} s", "", "step  loss    lora"]
    for step, name in found.checkpoints:
        known = [at for at in losses if at <= step]
        loss = f"{losses[max(known)]:.4f}" if known else "-"
        lines.append(f"{step:<4}  {loss:<6}  {name}")
    lines += [f"whole: {found.whole}"] if found.whole not in (None, found.lora) else []
    lines += [f"projector: {found.projector}"] if found.projector else []
    return "\n".join([*lines, *([""] if told else []), *told])


def sample_sheets(run: Path) -> list[tuple[int, Path]]:
    """Return step and file of the sheets of samples in a run's folder, the first step first."""
    found = [(path.stem.removeprefix("step-"), path) for path in sorted((run / _SAMPLES).glob("step-*.png"))]
    return [(int(step), path) for step, path in found if step.isdigit()]


def _losses(run: Path) -> Iterator[tuple[int, float]]:
    """Yield step and loss of the lines of a run's log; one that a kill has cut is passed over."""
    try:
        lines = (run / _LOG).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return
    for line in lines:
        try:
            values: Any = json.loads(line)
        except ValueError:
            continue
        if isinstance(values, dict) and isinstance(values.get("loss"), (int, float)):
            yield int(values.get("step", 0)), float(values["loss"])
