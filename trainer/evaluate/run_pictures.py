"""Where a run's drawings lie."""

from __future__ import annotations

from pathlib import Path

from .bench import PICTURES
from .scores import Score

__all__ = ["picture_path", "pictures_folder"]


def pictures_folder(run: Path) -> Path:
    """Return the folder of a run's drawings: `pictures` in it, or itself."""
    return run / PICTURES if (run / PICTURES).is_dir() else run


def picture_path(run: Path, score: Score) -> Path:
    """Return the file of a drawing that was scored."""
    return pictures_folder(run) / f"{score.row}_{score.sample}.png"
