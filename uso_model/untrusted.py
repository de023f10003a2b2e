"""Text and structures from strangers' files, checked field by field before anything uses them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from .errors import UserError

__all__ = ["field", "parse_json", "quoted"]

_QUOTED = 80


def quoted(text: object) -> str:
    """Return a value as an error may quote it: on one line and at most 80 characters long."""
    shown = " ".join(str(text).split())
    return shown if len(shown) <= _QUOTED else f"{shown[: _QUOTED - 4]} ..."


def parse_json(text: str | bytes, source: str) -> Any:
    """Parse JSON of any origin.

    Args:
        text: UTF-8 where it is bytes.
        source: file, and line where there is one, for the message.

    Raises:
        UserError: it is not JSON, or nested beyond all use.
    """
    try:
        return json.loads(text)
    except RecursionError as error:
        raise UserError(f"{source} is nested too deeply to be read; write it again") from error
    except ValueError as error:  # UnicodeDecodeError and JSONDecodeError
        raise UserError(f"{source} is not JSON ({quoted(error)}); write it again") from error


def field(values: Any, name: str, kind: type | tuple[type, ...], source: str) -> Any:
    """Return an entry of a parsed object, which must be of a kind; a boolean is no number.

    Raises:
        UserError: no object, no such entry, or another kind.
    """
    if not isinstance(values, Mapping):
        raise UserError(f"{source} holds {type(values).__name__}, expected an object with {name!r}; write it again")
    value = values.get(name)
    kinds = kind if isinstance(kind, tuple) else (kind,)
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        expected = " or ".join("nothing" if k is type(None) else k.__name__ for k in kinds)
        raise UserError(f"{source} has {name!r} = {quoted(value)}, expected {expected}; write it again")
    return value
