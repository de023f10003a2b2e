"""Sizes of networks, read off the names and shapes of their weights."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from torch import Tensor

from .strict import CheckpointError

__all__ = ["block_count", "block_numbers", "shape_of"]

_MOST_BLOCKS = 512


def block_numbers(names: Iterable[str], prefix: str) -> list[int]:
    """Return the numbers that stand between `prefix` and the next dot, each once, in order."""
    pattern = re.compile(rf"{re.escape(prefix)}([0-9]{{1,6}})\.")
    return sorted({int(match[1]) for match in map(pattern.match, names) if match})


def block_count(names: Iterable[str], prefix: str, source: str) -> int:
    """Return how many blocks of a kind the names have.

    Raises:
        CheckpointError: more than any network has; each would cost time and memory before its weights are compared.
    """
    count = len(block_numbers(names, prefix))
    if count > _MOST_BLOCKS:
        raise CheckpointError(
            f"{source} has {count} blocks {prefix}*, expected at most {_MOST_BLOCKS}; use another file."
        )
    return count


def shape_of(state_dict: Mapping[str, Tensor], name: str, sides: int, source: str) -> tuple[int, ...]:
    """Return the shape of a weight that tells the sizes of its network.

    Raises:
        CheckpointError: it is absent, has another number of sides than `sides`, or is empty.
    """
    if name not in state_dict:
        raise CheckpointError(f"{source} lacks {name}; download it again.")
    shape = tuple(state_dict[name].shape)
    if len(shape) != sides or 0 in shape:
        raise CheckpointError(
            f"{source} has {name} of shape {shape}, expected {sides} sides of at least 1; download it again."
        )
    return shape
