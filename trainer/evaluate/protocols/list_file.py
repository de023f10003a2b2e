"""A list of pictures and prompts that a user supplies, as YAML or JSON Lines: its entries, each with its line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

import yaml
from pydantic import Field, ValidationError

from ....uso_model.errors import UserError
from ....uso_model.untrusted import json_lines, quoted, read_text
from ...reading.yaml_text import BROKEN_YAML, parse_yaml
from ...settings.base import Settings
from .protocol import ProblemList

__all__ = ["KINDS", "Content", "Listing", "Photo", "Placed", "Style", "StylePrompt", "SubjectPrompt", "read_list"]

LongText = Field(min_length=1, max_length=2000)
Name = Field(min_length=1, max_length=200)
Type = Literal["person", "object"]


class Photo(Settings):
    """A picture, whence it comes and under which licence."""

    path: str = Field(min_length=1, max_length=1000)
    """From the list's folder."""
    licence: str = Field("", max_length=500)
    source: str = Field("", max_length=2000)
    sha256: str | None = None


class Content(Settings):
    """A person or an object."""

    id: str = Name
    type: Type
    name: str = Name
    """The word that stands for it in a prompt, such as `woman`."""
    pictures: list[Photo] = Field(min_length=1)


class Style(Settings):
    """A style."""

    id: str = Name
    pictures: list[Photo] = Field(min_length=1)


class SubjectPrompt(Settings):
    """A prompt for a subject reference; `{subject}` in it is the content's word."""

    id: str = Name
    form: Literal["descriptive", "instructive", "descriptive_style"]
    """What is seen; `Transform the style of image into yy style`; `yy style, the xx is ...`."""
    text: str = LongText
    of: Literal["person", "object", "any"] = Field("any", alias="for")


class StylePrompt(Settings):
    """A prompt for a style reference."""

    id: str = Name
    text: str = LongText


KINDS: dict[str, type[Settings]] = {
    "content": Content,
    "style": Style,
    "subject_prompt": SubjectPrompt,
    "style_prompt": StylePrompt,
}
"""Kinds of entries; in YAML their sections have the plural."""


class Placed(NamedTuple):
    """An entry and where it stands."""

    place: str
    entry: Any


Listing = dict[str, list[Placed]]
"""Kind to its entries."""


def read_list(path: Path, problems: ProblemList) -> Listing:
    """Return the entries of a list whose fields are right and whose ids stand once among their kind.

    Raises:
        UserError: the file cannot be read as a list.
    """
    found: Listing = {kind: [] for kind in KINDS}
    first: dict[tuple[str, str], str] = {}
    for place, kind, values in _entries(path, problems):
        if kind not in KINDS:
            problems.add(place, f"got the kind {quoted(kind)}, expected one of {', '.join(KINDS)}; correct it")
            continue
        try:
            entry: Any = KINDS[kind].model_validate(values)
        except ValidationError as error:
            wrong = error.errors()[0]
            where = ".".join(map(str, wrong["loc"])) or kind
            problems.add(place, f"{where}: {quoted(wrong['msg'])}; correct it")
            continue
        key = (kind, entry.id)
        if key in first:
            before = first[key]
            told = f"the {kind} {quoted(entry.id)} stands there already, at {before}; give one another id"
            problems.add(place, told)
            continue
        first[key] = place
        found[kind].append(Placed(place, entry))
    return found


def _entries(path: Path, problems: ProblemList) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield place, kind and fields."""
    cure = "name the list's file, a .jsonl or .yaml"
    if path.suffix.lower() in (".jsonl", ".ndjson"):
        for line in json_lines(path, cure):
            if line.problem is not None:
                problems.add(line.place, line.problem)
            elif not isinstance(line.value, dict):
                problems.add(line.place, f"got {type(line.value).__name__}, expected an object; correct it")
            else:
                values = dict(line.value)
                yield line.place, str(values.pop("kind", None)), values
        return
    text = read_text(path, cure)
    try:
        sections = parse_yaml(text)
        lines = _item_lines(text)
    except BROKEN_YAML as error:
        raise UserError(f"{quoted(path.name)} is not YAML: {quoted(error)}; correct it") from error
    if not isinstance(sections, dict):
        raise UserError(f"{quoted(path.name)} holds {type(sections).__name__}, expected sections such as contents:")
    for section, items in sections.items():
        kind = str(section).removesuffix("s")
        place = f"{quoted(path.name)}, section {quoted(section)}"
        if not isinstance(items, list):
            problems.add(place, f"got {type(items).__name__}, expected a list of entries; correct it")
            continue
        for number, values in enumerate(items):
            where = lines.get((str(section), number))
            at = f"{quoted(path.name)} line {where}" if where else f"{place}, entry {number + 1}"
            if not isinstance(values, dict):
                problems.add(at, f"got {type(values).__name__}, expected `name: value` lines; correct it")
            else:
                yield at, kind, values


def _item_lines(text: str) -> dict[tuple[str, int], int]:
    """Return the line of each item of each section."""
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    if not isinstance(node, yaml.MappingNode):
        return {}
    return {
        (str(key.value), number): item.start_mark.line + 1
        for key, items in node.value
        if isinstance(items, yaml.SequenceNode)
        for number, item in enumerate(items.value)
    }
