"""Areas beside entries that are split along the sampling.

ComfyUI gives every entry with an area a partner on the other side, of the same area, so that both run as one batch. It
makes the partner of a single entry of that side; of one that is split along the sampling it would take one part for the
whole sampling (ComfyUI, comfy/samplers.py, create_cond_with_same_area_if_none). Partners that are there already it
leaves alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from torch import Tensor

from ..graph.keys import AREA, AREA_KEYS, AREA_OF_MASK, END, START, UUID

__all__ = ["with_partners"]

Sides = dict[str, list[dict[str, Any]]]


def with_partners(conds: Sides) -> Sides:
    """Return the entries of all sides, with a partner of every part in time for each area on another side."""
    found: Sides = {}
    for side, entries in conds.items():
        areas = [entry for other, part in conds.items() if other != side for entry in part if _has_area(entry)]
        parts = [entry for entry in entries if (START in entry or END in entry) and not _has_area(entry)]
        partners = {
            (number, *_area_of(entry)): _partner(part, entry)
            for entry in areas
            for number, part in enumerate(parts)
            if _meet(part, entry)
        }
        found[side] = [*entries, *partners.values()]
    return found


def _meet(part: Mapping[str, Any], entry: Mapping[str, Any]) -> bool:
    """Whether two entries count at the same time, ever."""
    return max(part.get(START, 0.0), entry.get(START, 0.0)) < min(part.get(END, 1.0), entry.get(END, 1.0))


def _area_of(entry: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return what tells areas apart: one partner is enough for all entries of one area."""
    values = (entry.get(key) for key in AREA_KEYS)
    return tuple(id(value) if isinstance(value, Tensor) else repr(value) for value in values)


def _has_area(entry: Mapping[str, Any]) -> bool:
    return AREA in entry or bool(entry.get(AREA_OF_MASK))


def _partner(part: Mapping[str, Any], entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return a part in the area of an entry."""
    area = {key: entry[key] for key in AREA_KEYS if key in entry}
    return {**part, **area, UUID: uuid4()}  # what others keep of an entry is not kept for its partner
