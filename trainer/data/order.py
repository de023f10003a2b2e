"""Which rows a step sees: a pure function of the seed and the step."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path

import torch

from ...uso_model.errors import UserError

__all__ = ["BatchOrder", "drawn", "layout_groups"]


class BatchOrder:
    """An endless sequence of shuffled epochs, of which step k takes the k-th `batch_size` rows.

    It depends neither on the number of processes nor on reading ahead, so that a resumed run and a run on another
    number of GPUs see the same rows.
    """

    def __init__(
        self,
        groups: Sequence[Sequence[int]],
        shares: Sequence[float] | None,
        shapes: Sequence[object],
        batch_size: int,
        run: int,
        seed: int,
        weights: Sequence[float] | None = None,
    ):
        """Describe the rows.

        Args:
            groups: row numbers by kind.
            shares: share of each kind in an epoch; None takes every row once.
            shapes: of each row, anything that is equal for rows that go through the network together.
            batch_size: rows of a step.
            run: rows of one shape that should stand together, the micro-batch; divides `batch_size`.
            seed: of the shuffling.
            weights: how often each row comes in an epoch; what is no whole number is drawn anew in each. None: once.
        """
        self._groups, self._shares, self._shapes = groups, shares, shapes
        self._batch_size, self._run, self._seed = batch_size, run, seed
        self._weights = [1.0] * len(shapes) if weights is None else weights
        self._length = self._counted([row for group in groups for row in group])
        self._epoch = lru_cache(maxsize=4)(self._shuffled)

    def rows(self, step: int) -> list[int]:
        """Return the row numbers of a step."""
        first = step * self._batch_size
        places = range(first, first + self._batch_size)
        return [self._epoch(place // self._length)[place % self._length] for place in places]

    def __len__(self) -> int:
        """Return the samples of an epoch."""
        return self._length

    def _shuffled(self, number: int) -> list[int]:
        """Return the rows of an epoch."""
        generator = torch.Generator().manual_seed((self._seed * 1_000_003 + number) % 2**63)

        def shuffled(items: Sequence) -> list:
            return [items[i] for i in torch.randperm(len(items), generator=generator).tolist()]

        alike: dict[object, list[int]] = {}
        for row in shuffled(self._picked(shuffled, generator)):
            alike.setdefault(self._shapes[row], []).append(row)
        runs, rest = [], []
        for members in alike.values():
            whole = len(members) // self._run * self._run
            runs += [members[i : i + self._run] for i in range(0, whole, self._run)]
            rest += members[whole:]
        runs = shuffled(runs)
        # The epoch before may have ended within a micro-batch; single rows fill it, so that runs are not cut in two.
        missing = -number * self._length % self._run
        while len(rest) < missing and runs:
            rest += runs.pop()
        return rest[:missing] + [row for run in runs for row in run] + rest[missing:]

    def _picked(self, shuffled: Callable[[Sequence], list], generator: torch.Generator) -> list[int]:
        """Return the rows of an epoch, not yet in order."""
        if self._shares is None:
            return self._repeated([row for group in self._groups for row in group], generator)
        wanted = [round(share * self._length) for share in self._shares]
        wanted[-1] = self._length - sum(wanted[:-1])
        picked = []
        for group, count in zip(self._groups, wanted, strict=True):
            rows: list[int] = []
            while len(rows) < count:  # asked for more often than it has rows: gone through again, newly shuffled
                rows += shuffled(self._repeated(group, generator))
            picked += rows[:count]
        return picked

    def _counted(self, rows: Sequence[int]) -> int:
        """Return how many samples the rows are by their weights."""
        return max(1, round(math.fsum(self._weights[row] for row in rows)))

    def _repeated(self, rows: Sequence[int], generator: torch.Generator) -> list[int]:
        """Return each row as often as its weight says.

        What the weights have beyond whole numbers is drawn by systematic sampling: one random start, equal strides.
        """
        repeated = [row for row in rows for _ in range(int(self._weights[row]))]
        missing = self._counted(rows) - len(repeated)
        if missing <= 0:
            return repeated
        order = [rows[i] for i in torch.randperm(len(rows), generator=generator).tolist()]
        ends = torch.tensor([self._weights[row] % 1 for row in order], dtype=torch.float64).cumsum(0)
        starts = torch.arange(missing) + torch.rand((), generator=generator, dtype=torch.float64)
        chosen = torch.searchsorted(ends, starts / missing * ends[-1], right=True).clamp(max=len(order) - 1)
        return repeated + [order[i] for i in chosen.tolist()]


def layout_groups(layouts: Sequence[str], preserved_share: float | None) -> tuple[list[list[int]], list[float] | None]:
    """Return row numbers by layout and the share of each layout; all in one and None for the rows as they come.

    Raises:
        UserError: a layout that has a share has no row.
    """
    if preserved_share is None:
        return [list(range(len(layouts)))], None
    shares = {"preserved": preserved_share, "shifted": 1 - preserved_share}
    groups = [[number for number, layout in enumerate(layouts) if layout == kind] for kind in shares]
    for kind, group in zip(shares, groups, strict=True):
        if shares[kind] > 0 and not group:
            raise UserError(
                f"preserved_share is {preserved_share}, but no row has the layout {kind!r}; leave the setting out or "
                "add such rows"
            )
    return groups, list(shares.values())


def drawn(paths: Sequence[Path], most: int, generator: torch.Generator) -> list[Path]:
    """Return at most so many of some references, in their order."""
    numbers = torch.randperm(len(paths), generator=generator)[:most]
    return [paths[number] for number in sorted(numbers.tolist())]
