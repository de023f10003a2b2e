"""Kinds of what a user has to mend: several things at once, and a run that began otherwise."""

from __future__ import annotations

from collections.abc import Sequence

from ..uso_model.errors import UserError

__all__ = ["ChangedError", "Problems"]


class ChangedError(UserError):
    """A run to be gone on with began with other settings or other data."""


class Problems(UserError):
    """All that a user has to mend, each a sentence of its own."""

    def __init__(self, problems: Sequence[str]):
        """Say every problem; there is at least one."""
        super().__init__("; ".join(problems))
        self.problems = list(problems)
