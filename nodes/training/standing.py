"""Sets that were made since ComfyUI's start: a cached one that is gone, or was replaced by another, is made again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .sets import Made, TrainingSet

__all__ = ["made_of", "times_lost"]

Inputs = frozenset[tuple[str, str]]

_REMADE: dict[tuple[Inputs, TrainingSet], int] = {}
"""How often each set was made again after it was lost, by its inputs and what it was."""


def times_lost(inputs: Mapping[str, Any]) -> int:
    """Return how often sets with these inputs were lost.

    It grows when one is lost and stays when that one is made again, so that a cached one is taken only as long as it
    stands, and a new one is cached at once; where it has replaced one of the same inputs, after a second run.

    Args:
        inputs: names and values, without those that are not known, as they come through links.
    """
    known = _texts(inputs)
    return sum(times + (not made.stands()) for (given, made), times in _REMADE.items() if known <= given)


def made_of(inputs: Mapping[str, Any], make: Callable[[], Made]) -> Made:
    """Make a set and keep in mind of which inputs.

    Args:
        inputs: see `times_lost`; all of them.
        make: makes it.
    """
    lost = {key for key in _REMADE if not key[1].stands()}
    made = make()
    key = (_texts(inputs), made.set)
    _REMADE[key] = _REMADE.get(key, 0) + (key in lost)
    return made


def _texts(inputs: Mapping[str, Any]) -> Inputs:
    return frozenset((name, repr(value)) for name, value in inputs.items())
