"""The interface of judges: measuring accepts any function of this form, not only the bundled networks."""

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
    """The judges of one measurement."""

    style: NamesStyles
    identity: TellsIndividuals
    descriptor: Describes
    """The same network that the style reward uses, so its number is no independent evidence for the reward."""
