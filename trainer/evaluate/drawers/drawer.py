"""What every drawer offers, and how one is found by its name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from PIL import Image

from ....uso_model.errors import UserError
from ....uso_model.import_path import is_import_path, object_at
from ..bench import Bench, Row, open_reference

__all__ = ["NAMES", "NOISE", "Drawer", "Inputs", "Maker", "open_drawer"]

NAMES = {
    "flux": f"{__package__}.flux:flux_drawer",
    "comfy": f"{__package__}.comfy:comfy_drawer",
}
"""Drawers that have a short name."""

NOISE = "of each picture: a hash of protocol, row and sample"
"""What `noise` is of drawers that draw by the seeds that they are given."""


@runtime_checkable
class Drawer(Protocol):
    """Draws rows of a bench.

    A drawer may have one method more, `prepare(rows)`: it is called once with all rows that are going to be drawn, so
    that encoders need not stay in memory. It may have an attribute `noise`, which says of what its seeds are made, such
    as NOISE; without it a report says that they are unknown.
    """

    batch: int
    """Most pictures that are asked for at once. Pictures of one call are always the same ones, whenever a run stops."""

    def describe(self) -> dict[str, Any]:
        """Return what draws, as JSON can hold it: name, files with hashes, settings. A run goes on with no other."""
        ...

    def __call__(self, rows: Sequence[Row], samples: Sequence[int], seeds: Sequence[int]) -> list[Image.Image]:
        """Return a picture for each row.

        Args:
            rows: what to draw; a row comes several times where it has several samples.
            samples: number of each picture among those of its row, from 0.
            seeds: of the noise, see `seed_of`.
        """
        ...


@dataclass(frozen=True)
class Inputs:
    """What a drawer is made of."""

    folder: Path
    """Of the bench."""
    bench: Bench
    texts: Sequence[str] = ()
    """`name=value` of the command line."""
    recipe: str | None = None
    files: Path | None = None
    """Folder of an export, or of a run."""
    server: str = "http://127.0.0.1:8188"
    graphs: Sequence[str] = ()
    binds: Sequence[str] = ()
    batch: int | None = None

    def picture(self, key: str) -> Image.Image:
        """Return a picture of the bench by its key; see `open_reference`."""
        return open_reference(self.folder, self.bench, key)

    def path(self, key: str) -> Path:
        """Return the file of a picture of the bench."""
        return self.folder / self.bench.pictures[key].path


Maker = Callable[[Inputs], Drawer]
"""What stands at an import path."""


def open_drawer(name: str, inputs: Inputs) -> Drawer:
    """Return the drawer of a name, or of an import path to a function of `Inputs`.

    Raises:
        UserError: there is none, or it cannot be made of what was given.
    """
    if name not in NAMES and not is_import_path(name):
        known = ", ".join(NAMES)
        raise UserError(f"got the drawer {name!r}, expected one of {known}, or an import path package.module:function")
    make = object_at(NAMES.get(name, name), "drawer", "correct --drawer")
    if not callable(make):
        raise UserError(f"{name} is no function that makes a drawer; correct --drawer")
    if not _takes_one(make):
        raise UserError(f"{name} is no function of one argument, the inputs; correct --drawer")
    drawer = make(inputs)
    if not isinstance(drawer, Drawer):
        raise UserError(f"{name} makes no drawer but {type(drawer).__name__}; it needs batch, describe and a call")
    return drawer


def _takes_one(make: Callable[..., Any]) -> bool:
    """Say whether a function can be called with one argument, as far as it tells."""
    try:
        inspect.signature(make).bind(None)
    except TypeError:
        return False
    except ValueError:  # some that are written in C do not say what they take
        pass
    return True
