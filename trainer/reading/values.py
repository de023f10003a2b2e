"""Settings read from YAML and from the command line: a misspelt, missing or wrong one is an error with a suggestion.

Inside the program settings are values. Text exists in two places, each with one reader: YAML files, and `name=value` on
the command line, which the type of the named field decides how to read.
"""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, TypeAdapter, ValidationError

from ...uso_model.errors import UserError
from ...uso_model.untrusted import kind_of, quoted, read_text
from ..problems import Problems
from ..settings.base import Settings
from .command_line import COMMAND_LINE, require_pairs
from .errors import Origin, shortened, wrong_settings
from .yaml_text import BROKEN_YAML, parse_yaml

__all__ = ["load_config", "read_yaml", "set_values", "typed", "validated"]

NOTHING = ("none", "null", "~", "")
"""Words for no value on the command line."""

Config = TypeVar("Config", bound=Settings)


def load_config(
    kind: type[Config], path: str | Path, overrides: Mapping[str, Any] | None = None, texts: Sequence[str] = ()
) -> Config:
    """Read a YAML file and put values in the place of some of its settings.

    Args:
        kind: the settings class.
        path: YAML file.
        overrides: dotted names such as `loop.steps` and their values.
        texts: `name=value` of a command line, which win over them; see `typed`.

    Raises:
        UserError: the file is no YAML mapping, or a setting is unknown, missing or of the wrong type, named with its
            file and, where one is close, the setting that may have been meant.
    """
    values = read_yaml(path)
    set_values(values, overrides or {})
    given = typed(kind, texts)
    set_values(values, given)
    return validated(kind, values, Origin(Path(path).name, Path(path), given))


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Read a YAML file of `name: value` lines.

    Raises:
        UserError: it is no such file.
    """
    path = Path(path)
    text = read_text(path, "correct the path")
    try:
        values = parse_yaml(text)
    except BROKEN_YAML as error:
        raise UserError(f"{path.name} is not YAML: {shortened(error)}") from error
    if values is None:
        raise UserError(f"{path.name} is empty; write settings into it as `name: value` lines, or copy a recipe there")
    if not isinstance(values, dict):
        raise UserError(f"{path.name} holds {kind_of(values)}, expected settings as `name: value` lines")
    return values


def set_values(values: dict[str, Any], overrides: Mapping[str, Any]) -> None:
    """Set dotted names in nested settings; sections that are absent are made."""
    for name, value in overrides.items():
        *parents, last = name.split(".")
        place = values
        for parent in parents:
            if not isinstance(place.get(parent), dict):
                place[parent] = {}  # an absent or empty section; a wrong name is refused with the other settings
            place = place[parent]
        place[last] = value


def validated(kind: type[Config], values: Mapping[str, Any], origin: Origin) -> Config:
    """Return settings of plain values.

    Raises:
        UserError: see `load_config`.
    """
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise Problems(wrong_settings(error.errors(), list(_names(kind)), origin)) from error
    except (OverflowError, RecursionError) as error:
        raise UserError(f"{origin.name} holds a number or a nesting beyond all use: {shortened(error)}") from error


def typed(kind: type[BaseModel], texts: Sequence[str]) -> dict[str, Any]:
    """Return the values of `name=value` texts of a command line, each read by the type of the field it sets.

    A text for a string or a path is taken letter by letter: `#`, `: `, backslashes, `$` and `~` mean nothing. `none`
    is no value where a field may have none. Lists, also where a path or a name would do, take one item as it is, or
    several as `[a, b]`; sections take `{name: value}`. Where a field may hold anything, such as an expert's own
    settings, a number is one. A name that `kind` does not know is left to validation, which suggests another.

    Raises:
        UserError: no `name=value`, or a text that does not fit its field.
    """
    require_pairs(texts)
    found: dict[str, Any] = {}
    for text in texts:
        name, _, value = text.partition("=")
        found[name] = _read(_annotation(kind, name), value, name)
    return found


def _annotation(kind: type[BaseModel], name: str) -> Any:
    """Return the type of a dotted setting, None where there is none of that name."""
    first, _, rest = name.partition(".")
    field = kind.model_fields.get(first)
    if field is None:
        return None
    if not rest:
        return Annotated[field.annotation, field] if field.metadata else field.annotation
    if get_origin(field.annotation) is dict:
        rest, value = rest.partition(".")[2], get_args(field.annotation)[1]  # after the name of an entry
        if not rest or value is Any:
            return value
    return next((_annotation(section, rest) for section in _sections(field.annotation)), None)


def _read(annotation: Any, text: str, name: str) -> Any:
    plain = _plain(annotation)
    options = get_args(plain) if get_origin(plain) in (Union, types.UnionType) else (plain,)
    if type(None) in options and text.strip().lower() in NOTHING:
        return None
    options = tuple(option for option in options if option is not type(None))
    lists = [option for option in options if get_origin(option) in (list, tuple)]
    in_brackets = text.lstrip().startswith("[") and text.rstrip().endswith("]")
    plain_text = any(option in (str, Path) or get_origin(option) is Literal for option in options)
    if plain_text and not (lists and in_brackets):
        return text
    if lists and not in_brackets:
        return [text]
    if lists or any(isinstance(option, type) and issubclass(option, BaseModel) for option in options):
        return _flow(text, name)
    if options == (None,):
        return text  # validation says that there is no such setting
    if options == (Any,):
        return _scalar(text, name)
    if any(get_origin(option) is dict for option in options):
        return _flow(text, name)
    try:
        return TypeAdapter(annotation).validate_strings(text.strip())
    except ValidationError as error:
        reasons = "; ".join(dict.fromkeys(details["msg"] for details in error.errors()))
        raise UserError(f"{COMMAND_LINE} holds {quoted(f'{name}={text}')}: {reasons}") from error


def _plain(annotation: Any) -> Any:
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation


def _scalar(text: str, name: str) -> Any:
    """Read what a field of any type may hold: `[a, b]`, `{a: 1}`, a number or the like as YAML has it, else a text."""
    if text.lstrip()[:1] in ("[", "{", '"', "'"):
        return _flow(text, name)
    try:
        value = parse_yaml(text)
    except BROKEN_YAML:
        return text
    return value if value is None or isinstance(value, bool | int | float) else text


def _flow(text: str, name: str) -> Any:
    """Read `[a, b]` or `{a: 1}` as YAML writes them in one line."""
    try:
        return parse_yaml(text)
    except BROKEN_YAML as error:
        raise UserError(
            f"{COMMAND_LINE} holds {quoted(f'{name}={text}')}, expected a value as YAML writes it: {shortened(error)}"
        ) from error


def _names(kind: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Yield the dotted names of all settings of a class."""
    for name, field in kind.model_fields.items():
        yield prefix + name
        for section in _sections(field.annotation):
            yield from _names(section, f"{prefix}{name}.")


def _sections(annotation: Any) -> list[type[BaseModel]]:
    parts = getattr(annotation, "__args__", (annotation,))
    return [part for part in parts if isinstance(part, type) and issubclass(part, BaseModel)]
