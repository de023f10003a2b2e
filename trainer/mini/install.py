"""Make trained stages the bundled weights."""

from __future__ import annotations

import shutil
from pathlib import Path

from ...uso_model import mini
from ..export import LORA, PROJECTOR, TRANSFORMER

__all__ = ["install"]


def install(runs: str | Path) -> None:
    """Copy base, LoRA and projector of the stages' output folders to the bundled weights.

    Args:
        runs: holds the folders `base` and `triplet`.

    Raises:
        FileNotFoundError: a stage has written nothing yet.
    """
    files = mini.paths()
    for part, source in {
        "flux": Path(runs) / "base" / TRANSFORMER,
        "lora": Path(runs) / "triplet" / LORA,
        "projector": Path(runs) / "triplet" / PROJECTOR,
    }.items():
        if not source.is_file():
            raise FileNotFoundError(
                f"{source} is not there; train its stage first with `uso mini train {source.parent.name}`"
            )
        shutil.copyfile(source, files[part])
