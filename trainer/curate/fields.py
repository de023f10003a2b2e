"""Fields in braces, as words of a command and instructions have them."""

from __future__ import annotations

import string
from collections.abc import Collection

from ...uso_model.errors import UserError
from ...uso_model.untrusted import quoted

__all__ = ["fields_of"]


def fields_of(text: str, known: Collection[str], source: str, expected: str) -> list[str]:
    """Return the names of a text's fields in their order.

    Args:
        text: such as `a photo of {subject}`; `{{` is a brace.
        known: names there are.
        source: where the text stands, for messages.
        expected: what it may hold, for messages.

    Raises:
        UserError: braces that do not fit, or another name, or one with a format.
    """
    try:
        parts = list(string.Formatter().parse(text))
    except ValueError as error:
        raise UserError(f"{source} has {quoted(text)!r} ({error}); write {{{{ for a brace") from error
    found = []
    for _, field, form, conversion in parts:
        if field is None:
            continue
        if field not in known or form or conversion:
            raise UserError(f"{source} has {quoted(text)!r}, expected {expected}")
        found.append(field)
    return found
