"""What every protocol offers, and how one is found by its name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

from ..bench import Row, Task
from .store import Store

__all__ = ["Asked", "BenchProtocol", "Built", "ProblemList"]


class Asked(NamedTuple):
    """What may differ from the protocol; None: as it says."""

    samples: int | None = None
    """Pictures of each row."""
    size: tuple[int, int] | None = None
    """Width and height of what is drawn."""
    limit: int | None = None
    """Take the first so many subjects, styles and prompts alone."""


class ProblemList(list[str]):
    """What is wrong with a source: a sentence each, with its place and what to do."""

    def add(self, place: str, problem: object) -> None:
        """Add a sentence, without the place where it already names it."""
        text = str(problem)
        self.append(text if text.startswith(place) else f"{place}: {text}")


@dataclass(frozen=True)
class Built:
    """What a protocol makes of a source."""

    rows: Sequence[Row]
    published: Mapping[Task, int | None] = field(default_factory=dict)
    """Pictures that the protocol's paper states for each task."""
    width: int = 1024
    height: int = 1024
    steps: int = 25
    guidance: float = 4.0
    notes: Sequence[str] = ()
    """What a reader of a report has to know."""


@runtime_checkable
class BenchProtocol(Protocol):
    """Makes rows of a source."""

    @property
    def name(self) -> str:
        """Return what is part of every seed: benches of one name draw from one noise."""
        ...

    def build(self, source: Path | None, store: Store, asked: Asked, problems: ProblemList) -> Built:
        """Return the rows, whose pictures are kept in `store`, without what is added to `problems`.

        Raises:
            UserError: the source is none of this protocol.
        """
        ...
