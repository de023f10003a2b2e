"""What a measure sees of one drawing: its features, those of its references, and its row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from .bench import Row
from .features import Features, text_key

__all__ = ["References", "View"]


@dataclass
class References:
    """The pictures of a bench as measures see them."""

    features: Features
    hashes: Mapping[str, str]
    """Key in `Bench.pictures` to the hash of its pixels."""
    styles: Mapping[str, list[str]]
    """Name of each style to the keys of its pictures."""
    subjects: Mapping[str, list[str]]
    _stacks: dict[tuple[str, ...], np.ndarray] = field(default_factory=dict)

    def of(self, describer: str, key: str) -> np.ndarray:
        """Return the features of a picture of the bench."""
        return self.features.of(describer, self.hashes[key])

    def stack(self, describer: str, keys: Sequence[str]) -> np.ndarray:
        """Return the features of several pictures, `n ...`."""
        name = (describer, *keys)
        if name not in self._stacks:
            self._stacks[name] = np.stack([self.of(describer, key) for key in keys])
        return self._stacks[name]


@dataclass(frozen=True)
class View:
    """One drawing, or a real picture in its place, beside the references of a row."""

    row: Row
    sha256: str
    """Of the drawing's pixels."""
    references: References

    def drawn(self, describer: str) -> np.ndarray:
        """Return the features of the drawing."""
        return self.references.features.of(describer, self.sha256)

    def reference(self, describer: str, key: str) -> np.ndarray:
        """Return the features of a picture of the bench by its key."""
        return self.references.of(describer, key)

    def prompt(self, describer: str) -> np.ndarray:
        """Return the features of the row's prompt."""
        return self.references.features.of(describer, text_key(self.row.prompt))
