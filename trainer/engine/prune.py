"""Which checkpoints a run keeps: the newest whole, of older ones the weights, and whatever a person asked for."""

from __future__ import annotations

from pathlib import Path

from ...uso_model.checkpoints.files import retried
from ...uso_model.errors import UserError
from .checkpoint import OPTIMIZER, Checkpoint, checkpoints, tell, told_of
from .removal import remove, sweep

__all__ = ["prune"]


def prune(run_dir: Path, keep: int, keep_every: int | None, keep_weights: int, saved: int) -> None:
    """Take the optimizer's state out of older checkpoints, and remove those that are older still.

    Those that a person asked for stay as they are and are not counted, like those of later steps than the one just
    saved: the run did not go on from them, so something is wrong with them.

    Args:
        run_dir: folder of the run.
        keep: newest checkpoints that stay whole.
        keep_every: those at multiples of so many steps stay whole as well.
        keep_weights: of the others, so many keep their weights.
        saved: step of the checkpoint just saved.
    """
    counted = [found for found in checkpoints(run_dir) if found.step <= saved and _is_counted(found)]
    old = [found for found in counted[:-keep] if keep_every is None or found.step % keep_every]
    cut = len(old) - keep_weights
    for found in old[: max(0, cut)]:
        remove(found.folder)
    for found in old[max(0, cut) :]:
        if found.is_whole:
            told = told_of(found.folder)
            told["sha256"].pop(OPTIMIZER)
            tell(found.folder, told)  # first: a crash in between leaves a file that nothing lists
            retried((found.folder / OPTIMIZER).unlink)
    sweep(run_dir)


def _is_counted(found: Checkpoint) -> bool:
    try:
        return not found.is_asked
    except UserError:  # damaged: it stays, for whoever wants to look at it
        return False
