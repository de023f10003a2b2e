"""What is wrong with settings, where it stands, and the setting that may have been meant."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ...uso_model.untrusted import quoted
from .command_line import COMMAND_LINE
from .other_trainers import same_setting
from .yaml_text import lines_of

__all__ = ["Origin", "shortened", "wrong_settings"]


class Origin(NamedTuple):
    """Where settings come from."""

    name: str
    """Of the file, or of what else holds them."""
    file: Path | None = None
    """For the lines in it."""
    given: Collection[str] = ()
    """Dotted names of those that a command line has set."""
    renamed: Mapping[str, str] = {}
    """Names that may stand in the file, and today's."""

    def lines(self) -> dict[str, int]:
        """Return the line of each setting, under today's name."""
        found = {} if self.file is None else lines_of(self.file)
        return {**{new: found[old] for old, new in self.renamed.items() if old in found}, **found}


def shortened(error: object, most: int = 300) -> str:
    """Return an error's text on one line, cut where it quotes too much."""
    text = " ".join(str(error).split())
    return text if len(text) <= most else f"{text[:most]} ..."


def wrong_settings(errors: Sequence[Mapping[str, Any]], known: Sequence[str], origin: Origin) -> list[str]:
    """Return a sentence about each thing that pydantic has found, by where the setting was given."""
    lines = origin.lines()
    found: dict[str, list[str]] = {}
    for details in errors:
        name = ".".join(map(str, details["loc"]))
        complaint = _complaint(details, name, known)
        place, line = origin.name, _line(name, lines)
        if _is_given(name, complaint, origin.given, line is not None):
            place = COMMAND_LINE
        elif line is not None:
            complaint = f"{complaint} (line {line})"
        found.setdefault(place, []).append(complaint)
    return [f"{place} holds wrong settings: {one}" for place, told in found.items() for one in told]


def _is_given(name: str, complaint: str, given: Collection[str], in_file: bool) -> bool:
    """Say whether a complaint is about what a command line has set: the setting, its section, or one that it names."""
    if any(name == one or name.startswith(f"{one}.") for one in given):
        return True
    within = [one for one in given if not name or one.startswith(f"{name}.") or name.startswith(_section(one))]
    return any(one.rpartition(".")[2] in complaint for one in within) or bool(within and not in_file)


def _section(name: str) -> str:
    section = name.rpartition(".")[0]
    return f"{section}." if section else name


def _line(name: str, lines: Mapping[str, int]) -> int | None:
    while name and name not in lines:
        name = name.rpartition(".")[0]
    return lines.get(name)


def _complaint(details: Mapping[str, Any], name: str, known: Sequence[str]) -> str:
    if details["type"] != "extra_forbidden":
        reason = shortened(details["msg"].removeprefix("Value error, "))
        if details["type"] == "model_type":
            reason = "expected settings below it as `name: value` lines; leave an empty section out"
        if name == "loop.run_dir" and details["type"] == "missing":
            return "name: Field required (or loop.run_dir)"
        got = details.get("input")
        if details["type"] != "value_error" and isinstance(got, (str, int, float)):
            reason += f", got {quoted(repr(got))}"
        return f"{quoted(name)}: {reason}" if name else reason
    last = name.rpartition(".")[2]
    here = same_setting(name)
    same = [other for other in known if other.rpartition(".")[2] == last]  # right name, wrong section
    if here is not None and (here == "name" or here.startswith("`") or any(word in known for word in _words(here))):
        return f"{quoted(name)} is unknown; here it is {here}"
    close = same[:1] or difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f"{quoted(name)} is unknown" + (f", did you mean {close[0]}?" if close else "")


def _words(text: str) -> list[str]:
    return [word.strip(",") for word in text.split()]
