"""How a batch is shared by processes and micro-batches."""

from __future__ import annotations

from ...uso_model.errors import UserError
from ..settings.loop import LoopConfig

__all__ = ["shares"]


def shares(config: LoopConfig, processes: int, process: int) -> list[tuple[int, int]]:
    """Return first row and number of rows of each of a process's micro-batches in a step.

    Raises:
        UserError: the batch cannot be shared evenly.
    """
    if config.batch_size % processes:
        raise UserError(f"batch_size {config.batch_size} cannot be shared by {processes} processes; use a multiple")
    own = config.batch_size // processes
    rows = config.micro_batch or own
    if own % rows:
        raise UserError(
            f"batch_size {config.batch_size} on {processes} processes gives each {own} rows, not a multiple of "
            f"micro_batch {rows}; change one of them"
        )
    begin = process * own
    return [(first, rows) for first in range(begin, begin + own, rows)]
