"""Cutting logs back to the step that a run goes on from: what came after is made again."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

from ...uso_model.checkpoints.files import atomic_write
from .log import LOG
from .row_losses import ROW_LOSSES

__all__ = ["cut_back"]

_EVENTS = "events.out.tfevents*"
"""Files of TensorBoard."""


def cut_back(run_dir: Path, step: int) -> None:
    """Take out of log.jsonl, rows.jsonl and what TensorBoard shows all that a run has told of later steps.

    Args:
        run_dir: folder of the run.
        step: that the run goes on from; at 0 nothing stays, since what is measured before the first step is measured
            again.

    Raises:
        OSError: the log cannot be written.
    """
    for path in (run_dir / LOG, run_dir / ROW_LOSSES):
        if path.is_file():
            _cut(path, step)
    folders = {found.parent for found in run_dir.rglob(_EVENTS)}
    if not folders or importlib.util.find_spec("tensorboard") is None:
        return
    from torch.utils.tensorboard import SummaryWriter  # slow to import

    for folder in folders:
        # A mark that makes TensorBoard leave out later steps of all files before this one.
        SummaryWriter(str(folder), purge_step=step + 1 if step else 0).close()


def _cut(path: Path, step: int) -> None:
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    kept = [line for line in lines if step and _step(line) <= step]
    if kept != lines:
        text = "".join(f"{line}\n" for line in kept)
        atomic_write(path, lambda temporary: Path(temporary).write_text(text, encoding="utf-8"))


def _step(line: str) -> float:
    """Return the step of a line; a line that a kill has torn is later than all."""
    try:
        found = json.loads(line)
        found = found[0] if isinstance(found, list) else found["step"]
    except (ValueError, LookupError, TypeError):
        return float("inf")
    return found if isinstance(found, (int, float)) else float("inf")
