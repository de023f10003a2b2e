"""What is set on single references.

A conditioning entry carries a dict for each style picture and for each content reference, as tuples under the keys
`uso_style_dials` and `uso_content_dials`. They are absent where nothing is set, so that a graph without dials runs
exactly as it would without this file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple

from torch import Tensor

from ...uso_model.dials.blocks import Blocks
from ...uso_model.dials.curves import Span
from ...uso_model.positions import Placement

__all__ = ["ALWAYS", "Dial", "Place", "appended", "dials_of"]

ALWAYS: tuple[Span, ...] = ((0.0, 1.0, 1.0),)
"""The whole sampling at full strength."""


class Place(NamedTuple):
    """Where a content reference stands beside the drawn picture."""

    side: Placement = "d"
    row: int = 0
    """Tokens that it is moved down, besides."""
    column: int = 0
    """Tokens that it is moved to the right, besides."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Dial:
    """Everything that is set on one reference."""

    strength: float = 1.0
    """From 0. 0 leaves the tokens in place and hides them, so that the entry can share a batch with one in which they
    count."""
    spans: tuple[Span, ...] = ALWAYS
    """When it counts, with a factor on the strength for each part. Never stored: an entry's own range says when."""
    tokens: Tensor | None = None
    """Logarithm of a strength for every token, `L`."""
    region: Tensor | None = None
    """Where in the picture it counts, `b h w` in 0..1."""
    blocks: Blocks | None = None
    """Weights of the network's blocks."""
    fast: bool = False
    """Strength by the size of the values instead of a mask."""
    place: Place | None = None
    """Where a content reference stands; None: on the official diagonal."""
    shared: bool = False
    """Whether the entry is to share a batch, whatever else is set."""

    @property
    def changes_the_network(self) -> bool:
        """Whether the network has to know of it; spans are ranges of entries, and `fast` alone changes nothing."""
        parts = (self.tokens, self.region, self.blocks, self.place)
        return self.strength != 1.0 or self.shared or any(part is not None for part in parts)

    def at(self, factor: float) -> Dial:
        """Return the dial in a part of its spans."""
        return replace(self, strength=self.strength * factor, spans=ALWAYS)

    def hidden(self) -> Dial:
        """Return the dial of a reference that is there unseen, so that both conditionings share a batch."""
        return replace(self, strength=0.0, spans=tuple((start, end, 1.0) for start, end, part in self.spans if part))

    def stored(self) -> dict[str, Any]:
        """Return what is set in plain values, the form on a conditioning entry, which nodes may write to a file."""
        found: dict[str, Any] = {} if self.strength == 1.0 else {"strength": self.strength}
        parts = {name: getattr(self, name) for name in ("tokens", "region", "blocks", "fast", "place", "shared")}
        set_ = {name: part for name, part in parts.items() if part is not None and part is not False}
        return found | {name: tuple(part) if isinstance(part, (Blocks, Place)) else part for name, part in set_.items()}


_NAMES = {item.name for item in fields(Dial)}


def dials_of(values: Mapping[str, Any], key: str, count: int) -> tuple[Dial, ...]:
    """Return a dial for each reference of an entry; those that other nodes have appended since have nothing set.

    Args:
        values: the conditioning entry.
        key: STYLE_DIALS or CONTENT_DIALS.
        count: references that the entry has.
    """
    stored: Sequence[Mapping[str, Any]] = values.get(key, ())
    found = [_read(dial) for dial in stored]
    return (*found, *(Dial() for _ in range(count - len(found))))


def _read(stored: Mapping[str, Any]) -> Dial:
    """Return a dial from its plain form; what another version has put there besides is left alone."""
    known = {name: value for name, value in stored.items() if name in _NAMES}
    for name, kind in (("blocks", Blocks), ("place", Place)):
        if name in known:
            known[name] = kind(*known[name])
    return Dial(**known)


def appended(values: Mapping[str, Any], key: str, had: int, new: Sequence[Dial]) -> dict[str, Any]:
    """Return the entry's dials of one kind with those of new references appended; nothing where none is set.

    Args:
        values: the conditioning entry.
        key: STYLE_DIALS or CONTENT_DIALS.
        had: references that the entry has already.
        new: a dial for each new one.
    """
    dials = (*dials_of(values, key, had), *new)
    return {key: tuple(dial.stored() for dial in dials)} if any(dial.changes_the_network for dial in dials) else {}
