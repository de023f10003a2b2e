"""Shares of a bench for several machines."""

from __future__ import annotations

import re

from ...uso_model.errors import UserError
from ...uso_model.untrusted import quoted

__all__ = ["WHOLE", "Shard", "shard_from", "shard_name"]

Shard = tuple[int, int]
"""Which one, from 1, of how many."""

WHOLE: Shard = (1, 1)


def shard_from(text: str) -> Shard:
    """Return the shard that a command line names, such as `2/4`.

    Raises:
        UserError: it names none.
    """
    found = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text.strip())
    number, of = (int(found[1]), int(found[2])) if found else (0, 0)
    if not 1 <= number <= of:
        raise UserError(f"got --shard {quoted(text)}, expected I/N with I from 1 to N, such as 2/4")
    return number, of


def shard_name(shard: Shard) -> str:
    """Return what distinguishes the files of a shard from those of the others, empty for the whole."""
    number, of = shard
    return "" if of == 1 else f"-{number}-of-{of}"
