"""Dataset files in TOML, as kohya's trainers read them: settings of a table hold for those inside it."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ....uso_model.errors import UserError
from ....uso_model.untrusted import number, quoted, read_text

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["chained", "number_of", "read_toml", "tables", "text_in"]

_MOST_REPEATS = 1000


def read_toml(path: Path) -> dict[str, Any]:
    """Return what a TOML file holds.

    Raises:
        UserError: it is absent, no UTF-8 text or no TOML.
    """
    text = read_text(path, "correct the path")
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError, ValueError, TypeError, OverflowError) as error:
        # 'C:\\new' in double quotes is the most frequent cause.
        hint = "; write Windows paths in single quotes" if "\\" in text else ""
        raise UserError(f"{path.name} is not TOML ({quoted(error)}){hint}") from error


def tables(values: Mapping[str, Any], name: str, place: str) -> Iterator[tuple[Mapping[str, Any], str]]:
    """Yield the tables of `[[name]]` with their place for messages.

    Raises:
        UserError: there are none, or they are something else.
    """
    found = values.get(name)
    if not isinstance(found, list) or not found or not all(isinstance(table, dict) for table in found):
        raise UserError(f"{place} has no [[{name}]] tables; is this a dataset file?")
    for count, table in enumerate(found, start=1):
        yield table, f"{place} {name} {count}"


def chained(*levels: Any) -> dict[str, Any]:
    """Return settings of which those of the first level count most."""
    found: dict[str, Any] = {}
    for level in reversed(levels):
        found.update(level if isinstance(level, Mapping) else {})
    return found


def text_in(values: Mapping[str, Any], name: str, place: str) -> str:
    """Return a text, empty where there is none.

    Raises:
        UserError: it is something else.
    """
    value = values.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise UserError(f"{place} has {name} = {quoted(value)}, expected a text")
    return value


def number_of(values: Mapping[str, Any], name: str, place: str, default: float = 1.0, least: float = 1.0) -> float:
    """Return a number of repeats.

    Raises:
        UserError: no number, or one beyond all use.
    """
    return number(values, name, place, least, _MOST_REPEATS) if values.get(name) is not None else default
