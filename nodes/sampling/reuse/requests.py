"""Requests of one evaluation of the sampler: the same ones in each, while ComfyUI splits them anew every time.

Guidance asks for the entries of both sides at once, and perhaps for some of them once more, perturbed. ComfyUI takes as
many entries of a request into one call as the free memory allows just then. So calls alone do not tell whether a lone
one is a part of the first request or another request.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from .place import Place

__all__ = ["Member", "Requests"]

Member = tuple[Any, int]
"""An entry, and the side that it is asked for on."""


@dataclass(frozen=True)
class _Request:
    members: frozenset[Member]
    place: Place | None
    """Where its latents are in the picture; None: not known."""
    earlier: tuple[_Request, ...]
    """Requests before it that are of the same place."""


class Requests:
    """The requests of an evaluation so far, and their calls."""

    def __init__(self) -> None:
        self._made: list[_Request] = []
        self._current: _Request | None = None
        self._calls: Counter[Hashable] = Counter()

    def clear(self) -> None:
        """Begin the next evaluation."""
        self._made.clear()
        self._calls.clear()

    @contextmanager
    def during(self, members: Iterable[Member], place: Place | None) -> Iterator[None]:
        """Count calls as those of a request, which may have others inside.

        Args:
            members: of the request, whether they count at this time or not.
            place: of its latents in the picture; None: not known.
        """
        before = self._current
        earlier = tuple(made for made in self._made if made.place == place)
        self._current = _Request(frozenset(members), place, earlier)
        self._made.append(self._current)
        try:
            yield
        finally:
            self._current = before

    def number(self, members: Iterable[Member], place: Place | None, call: Hashable) -> tuple[int, int]:
        """Return how many requests for the entries of a call came before, and how many such calls in this request.

        A call outside of all requests, by a pack that splits them by itself, is one of its own.

        Args:
            members: of the call.
            place: of its latents in the picture.
            call: what else tells it from others, and its members.
        """
        own = frozenset(members)
        if self._current is None:
            earlier = tuple(made for made in self._made if made.place == place)
            self._made.append(_Request(own, place, earlier))
        else:
            earlier = self._current.earlier
        number = sum(own <= made.members for made in earlier)
        again = self._calls[id(self._current), call]  # a request stays in `_made`, so its id is its own
        self._calls[id(self._current), call] += 1
        return number, again
