"""Text and structures from strangers' files, checked field by field before anything uses them."""

from __future__ import annotations

import errno
import json
import math
import os
import re
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from .errors import UserError

__all__ = [
    "Line",
    "argument",
    "field",
    "json_lines",
    "json_objects",
    "kind_of",
    "named",
    "number",
    "parse_json",
    "quoted",
    "read_text",
    "regular_file",
]

_QUOTED = 80
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_PLAIN = re.compile(r"[\w./\\:~+@=-]+")
_LONGEST_PATH = 300
_DEEPEST = 64
_LARGEST = 1 << 30
_KINDS = {
    type(None): "nothing",
    bool: "true or false",
    int: "a number",
    float: "a number",
    str: "text",
    list: "a list",
    dict: "an object",
}


def quoted(text: object, most: int = _QUOTED) -> str:
    """Return a value as an error may quote it: on one line, printable, and at most 80 characters long, or `most`."""
    shown = _printable(str(text))
    return shown if len(shown) <= most else f"{shown[: most - 4]} ..."


def named(path: str | os.PathLike[str]) -> str:
    """Return a path as an error may name it: on one line, printable, and of a very long one the end, with the name."""
    shown = _printable(os.fspath(path))
    return shown if len(shown) <= _LONGEST_PATH else f"... {shown[4 - _LONGEST_PATH :]}"


def argument(path: str | os.PathLike[str]) -> str:
    """Return a path as sh, cmd.exe and PowerShell take it in a command: in double quotes where needed."""
    shown = _printable(os.fspath(path))
    return shown if _PLAIN.fullmatch(shown) else f'"{shown}"'


def _printable(text: str) -> str:
    one_line = " ".join(text.split()).encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")
    # A terminal obeys control characters.
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", one_line)


def kind_of(value: object) -> str:
    """Return what a parsed value of JSON or YAML is, in words."""
    return _KINDS.get(type(value), "a value of another kind")


def regular_file(path: str | os.PathLike[str], cure: str, error: type[UserError] = UserError) -> os.stat_result:
    """Return the status of a file that may be opened: no folder, pipe or device, of which reading might never end.

    Args:
        path: the file; links are followed.
        cure: what to do when it is none, in the imperative.
        error: type of the exception.

    Raises:
        UserError: nothing is there, or something else.
    """
    path = Path(path)
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError) as problem:
        raise error(f"{named(path)} is not there; {cure}") from problem
    except OSError as problem:
        reason = "links to itself" if problem.errno == errno.ELOOP else f"cannot be read ({problem.strerror})"
        raise error(f"{named(path)} {reason}; {cure}") from problem
    except ValueError as problem:  # a NUL or half a character in the name
        raise error(f"{named(path)} is no path of a file ({problem.args[-1]}); {cure}") from problem
    if not stat.S_ISREG(status.st_mode):
        found = "a folder" if stat.S_ISDIR(status.st_mode) else "a pipe or a device"
        raise error(f"{named(path)} is {found} and not a file; {cure}")
    return status


def read_text(path: str | os.PathLike[str], cure: str, error: type[UserError] = UserError) -> str:
    """Return the text of a UTF-8 file, without the mark that Windows editors put in front.

    Raises:
        UserError: no regular file, not readable, over a gigabyte, or not UTF-8.
    """
    path = Path(path)
    if regular_file(path, cure, error).st_size > _LARGEST:
        raise error(f"{named(path)} is larger than a gigabyte, expected a text file; {cure}")
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as problem:
        raise error(f"{named(path)} is not UTF-8 text ({problem.reason}); save it as UTF-8") from problem
    except OSError as problem:
        raise error(f"{named(path)} cannot be read ({problem.strerror}); check its permissions") from problem


def parse_json(text: str | bytes, source: str, error: type[UserError] = UserError) -> Any:
    """Parse JSON of any origin.

    Args:
        text: UTF-8 where it is bytes.
        source: file, and line where there is one, for the message.
        error: type of the exception.

    Raises:
        UserError: it is not JSON, nested beyond all use, or has half a character in a string.
    """
    try:
        value = json.loads(text)
        if ("\\u" if isinstance(text, str) else b"\\u") in text:  # type: ignore[operator]
            json.dumps(value, ensure_ascii=False).encode()
    except RecursionError as problem:
        raise error(f"{source} is nested too deeply to be read; write it again") from problem
    except ValueError as problem:  # UnicodeDecodeError, UnicodeEncodeError and JSONDecodeError
        raise error(f"{source} is not JSON ({quoted(problem)}); write it again") from problem
    if _deeper(value, _DEEPEST):
        raise error(f"{source} is nested too deeply to be read; write it again")
    return value


def _deeper(value: Any, most: int) -> bool:
    """Whether containers lie within each other more than `most` times."""
    level = [value]
    for _ in range(most):
        inner: list[Any] = []
        for part in level:
            if isinstance(part, dict):
                inner += part.values()
            elif isinstance(part, list):
                inner += part
        level = [part for part in inner if isinstance(part, (dict, list))]
        if not level:
            return False
    return True


def field(
    values: Any, name: str, kind: type | tuple[type, ...], source: str, error: type[UserError] = UserError
) -> Any:
    """Return an entry of a parsed object, which must be of a kind; a boolean is no number.

    Raises:
        UserError: no object, no such entry, or another kind.
    """
    if not isinstance(values, Mapping):
        raise error(f"{source} holds {kind_of(values)}, expected an object with {name!r}; write it again")
    value = values.get(name)
    kinds = kind if isinstance(kind, tuple) else (kind,)
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        expected = " or ".join(dict.fromkeys(_KINDS.get(k, k.__name__) for k in kinds))
        raise error(f"{source} has {name!r} = {quoted(value)}, expected {expected}; write it again")
    return value


def number(
    values: Any,
    name: str,
    source: str,
    low: float = -math.inf,
    high: float = math.inf,
    error: type[UserError] = UserError,
) -> float:
    """Return an entry of a parsed object that must be a finite number from `low` to `high`.

    Raises:
        UserError: no such entry, no number, or one out of range.
    """
    value = field(values, name, (int, float), source, error)
    if not low <= value <= high or abs(value) >= 1e300 or not math.isfinite(value):
        wanted = "a finite number" if (low, high) == (-math.inf, math.inf) else f"a number from {low:g} to {high:g}"
        raise error(f"{source} has {name!r} = {quoted(value)}, expected {wanted}; write it again")
    return float(value)


class Line(NamedTuple):
    """One line of JSON Lines that is not blank."""

    place: str
    """File and number, for messages."""
    value: Any
    """What it holds, None where it cannot be read."""
    problem: str | None
    """Why it cannot be read."""


def json_lines(path: str | os.PathLike[str], cure: str = "correct the path") -> Iterator[Line]:
    """Yield the lines of a JSON Lines file, those that cannot be read with the reason.

    Raises:
        UserError: see `read_text`.
    """
    name = Path(path).name
    # `splitlines` would also cut inside a text, at the separators of Unicode.
    for count, line in enumerate(read_text(path, cure).split("\n"), start=1):
        if line.strip():
            place = f"{quoted(name)} line {count}"
            try:
                yield Line(place, parse_json(line, place), None)
            except UserError as error:
                yield Line(place, None, str(error))


def json_objects(path: str | os.PathLike[str], cure: str = "correct the path") -> list[dict[str, Any]]:
    """Return the objects of a JSON Lines file.

    Raises:
        UserError: a line that is no JSON object, with its number, or see `read_text`.
    """
    found = []
    for line in json_lines(path, cure):
        if line.problem is not None:
            raise UserError(line.problem)
        if not isinstance(line.value, dict):
            raise UserError(f"{line.place} holds {kind_of(line.value)}, expected an object; write it again")
        found.append(line.value)
    return found
