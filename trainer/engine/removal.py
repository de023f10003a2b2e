"""Taking checkpoints away so that no moment leaves half of one under its name."""

from __future__ import annotations

import secrets
import shutil
from pathlib import Path

from ...uso_model.checkpoints.files import retried

__all__ = ["remove", "sweep"]


def remove(folder: Path) -> None:
    """Take a checkpoint away at once, under a hidden name, and then its files."""
    hidden = folder.with_name(f".removed-{folder.name}-{secrets.token_hex(4)}")
    retried(lambda: folder.rename(hidden))
    shutil.rmtree(hidden, ignore_errors=True)  # what is held open now goes with the next save


def sweep(run_dir: Path) -> None:
    """Remove what a killed process, or a program that held a file, has left of checkpoints that are none."""
    for pattern in (".checkpoint-*", ".removed-checkpoint-*"):
        for left in run_dir.glob(pattern):
            shutil.rmtree(left, ignore_errors=True)
