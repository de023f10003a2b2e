"""The masks of a recipe looked through: opened, and compared with their targets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ...uso_model.errors import UserError
from ..settings.data import DataConfig
from .masks import Masks
from .pictures import open_picture

__all__ = ["mask_findings"]


def mask_findings(data: DataConfig | None, targets: Sequence[Path]) -> tuple[list[str], list[str]]:
    """Open every mask of some targets.

    Args:
        data: settings of a recipe; None: there is none.
        targets: the pictures; those that cannot be opened are somebody else's to list.

    Returns:
        Problems and notes.
    """
    if data is None or data.masks is None or not targets:
        return [], []
    if data.masks == "alpha":
        return [], _opaque(list(dict.fromkeys(targets)))
    try:
        masks = Masks(data, targets)
    except UserError as error:
        return [f"data.masks: {error}"], []
    problems, note = [], masks.note()
    notes = [] if note is None else [note]
    for path in masks.files:
        try:
            brightest = open_picture(path).convert("L").getextrema()[1]
        except UserError as error:
            problems.append(f"data.masks: {error}")
            continue
        if brightest == 0 and data.mask_outside == 0:
            notes.append(f"the mask {path} is black all over: nothing of its target is learnt")
    return problems, notes


def _opaque(targets: Sequence[Path]) -> list[str]:
    whole = 0
    for target in targets:
        try:
            whole += open_picture(target, alpha=True).getextrema() == (255, 255)
        except UserError:
            continue
    return [f"{whole} of {len(targets)} targets are opaque all over and count whole"] if whole else []
