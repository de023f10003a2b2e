"""Parts of one entry along the sampling: where a strength changes, ComfyUI gets an entry for each stretch of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from ...graph.dials import Place, dials_of
from ...graph.keys import CONTENT_DIALS, END, MODEL_CONDS, REFERENCES, START, STYLE_DIALS, TEXT_STRENGTH, UUID

__all__ = ["parts_of"]

_OWN = {START, END, STYLE_DIALS, CONTENT_DIALS, TEXT_STRENGTH, MODEL_CONDS, UUID}
"""What may differ between parts of one entry: when they count, and how much."""


def parts_of(conds: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[Any, Any]:
    """Return for each entry's uuid the uuid of the first of the entries that it is a part with.

    Parts are of one side, alike but for their dials, and count one after the other. Of the dials, places have to be
    alike, too: keys are kept as they are rotated for a place.
    """
    found: dict[Any, Any] = {}
    for entries in conds.values():
        groups: list[list[Mapping[str, Any]]] = []
        for entry in entries:
            group = next((group for group in groups if _alike(group[0], entry)), None)
            if group is None:
                groups.append([entry])
            else:
                group.append(entry)
        for parts in groups:
            ordered = sorted(parts, key=lambda entry: entry.get(START, 0.0))
            if all(one.get(END, 1.0) <= after.get(START, 0.0) for one, after in pairwise(ordered)):
                found |= {part.get(UUID): ordered[0].get(UUID) for part in ordered}
    return found


def _alike(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two entries are the same but for what parts may differ in."""
    keys = one.keys() - _OWN
    alike = keys == other.keys() - _OWN and all(_same(one[key], other[key]) for key in keys)
    return alike and _places(one) == _places(other)


def _places(entry: Mapping[str, Any]) -> list[Place]:
    """Return where the content references of an entry stand."""
    return [dial.place or Place() for dial in dials_of(entry, CONTENT_DIALS, len(entry.get(REFERENCES) or ()))]


def _same(one: Any, other: Any) -> bool:
    """Whether two values are equal; of objects that are neither numbers, words nor tensors: the same one."""
    if one is other or type(one) is not type(other):
        return one is other
    if isinstance(one, Tensor):
        return one.shape == other.shape and torch.equal(one, other)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(_same, one, other))
    return isinstance(one, (int, float, str)) and one == other
