"""Lists that are typed into one line, or come with a stranger's graph."""

from __future__ import annotations

from ..errors import UserError

__all__ = ["typed_list"]

LONGEST = 4000
"""Characters; the longest text with a meaning, a weight for each of FLUX's blocks, has some hundreds."""


def typed_list(text: str, what: str) -> list[str]:
    """Return the parts of a list, which stand between commas, semicolons or white space.

    Args:
        text: as it was typed.
        what: name of the list, for the message.

    Raises:
        UserError: it is longer than anybody types.
    """
    if len(text) > LONGEST:
        raise UserError(f"Got a text of {len(text)} characters as {what}, expected at most {LONGEST}: shorten it.")
    return text.replace(",", " ").replace(";", " ").split()
