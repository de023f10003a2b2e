"""Files that are gone in the middle of a run: named once each, and of very many the first."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path

from ...uso_model.untrusted import named

__all__ = ["Absent"]

_NAMED = 5


class Absent:
    """Says once of each file that it is not there."""

    def __init__(self, logger: logging.Logger, instead: str):
        """Warn by `logger`, and say what is done `instead`."""
        self._logger, self._instead = logger, instead
        self._told: set[Path] = set()

    def there(self, paths: Iterable[Path]) -> list[Path]:
        """Return the files that are there, and name the others."""
        found = []
        for path in paths:
            if path.is_file():
                found.append(path)
            else:
                self.tell(path)
        return found

    def tell(self, path: Path) -> None:
        """Name a file; a drive may be away with a hundred thousand of them."""
        if path in self._told:
            return
        self._told.add(path)
        if len(self._told) <= _NAMED:
            self._logger.warning("%s is not there: %s", named(path), self._instead)
        elif len(self._told) == _NAMED + 1:
            self._logger.warning("%s and others are not there either: %s", named(path), self._instead)
