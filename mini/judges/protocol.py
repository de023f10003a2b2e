"""What measuring asks of judges, so that others than the bundled ones can take their place."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from torch import Tensor

__all__ = ["Describes", "Judges", "NamesStyles", "TellsIndividuals"]


class NamesStyles(Protocol):
    """Names the style of a picture."""

    def __call__(self, pixels: Tensor, /) -> Tensor:
        """Return logits `b styles + 1` (the last: a photo) of pictures `b 3 h w` in -1..1."""
        ...


class TellsIndividuals(Protocol):
    """Tells individuals apart and names their traits."""

    def __call__(self, pixels: Tensor, /) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Return unit vectors `b d`, alike for one individual, and logits of each trait of pictures `b 3 h w`."""
        ...


class Describes(Protocol):
    """Describes the style of a picture by a vector."""

    def __call__(self, pixels: Tensor, /) -> Tensor:
        """Return unit vectors `b d` of pictures `b 3 h w` in -1..1."""
        ...


class Judges(NamedTuple):
    """Who looks at the pictures."""

    style: NamesStyles
    identity: TellsIndividuals
    descriptor: Describes
    """The reward's own, so no independent witness of it."""
