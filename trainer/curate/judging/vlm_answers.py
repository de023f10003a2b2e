"""Answers of a vision language model, checked word by word: a score is read or refused, and never guessed.

The schemas are those that servers are asked to keep to. What comes back is checked all the same: not every server does.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from typing import Any

__all__ = [
    "HIGHEST",
    "Invalid",
    "caption_schema",
    "json_of",
    "name_schema",
    "read_caption",
    "read_findings",
    "read_names",
    "read_scores",
    "table_schema",
]

HIGHEST = 4
"""Of a score; the lowest is 0. Source: UNO-1M's data card, labels `score_part` and `score_final`."""
MOST_PARTS, LONGEST_NAME, LONGEST_FINDING, LONGEST_CAPTION = 12, 100, 2000, 600
_LONGEST = 100_000
_FENCED = re.compile(r"```(?:json)?\s*\n(.*?)\n?\s*```", re.DOTALL | re.IGNORECASE)
_THOUGHT = re.compile(r"\s*<think>.*?</think>", re.DOTALL)
_DIGITS = 40
"""Of a number; Python refuses to read much longer ones, with an error of its own."""


class Invalid(ValueError):
    """An answer does not say what was asked; the reason is one that a model can be told."""


def name_schema() -> dict[str, Any]:
    """Return the JSON schema of the first round: names of parts."""
    return _object({"parts": {"type": "array", "items": {"type": "string"}}})


def table_schema(kind: str, name: str, parts: Sequence[str]) -> dict[str, Any]:
    """Return the JSON schema of a later round: for each part one value, a text or a score.

    Args:
        kind: of the list, `comparisons` or `scores`.
        name: of the value, `finding` or `score`.
        parts: of the first round.
    """
    value = {"type": "integer", "enum": list(range(HIGHEST + 1))} if name == "score" else {"type": "string"}
    row = _object({"part": {"type": "string", "enum": list(parts)}, name: value})
    return _object({kind: {"type": "array", "items": row}})


def caption_schema() -> dict[str, Any]:
    """Return the JSON schema of a caption."""
    return _object({"caption": {"type": "string"}})


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def json_of(text: str) -> dict[str, Any]:
    """Return the JSON object of an answer, which may stand in one fence and come after thoughts in <think> tags.

    Raises:
        Invalid: there is anything else, or no object; also where a key stands twice, of which either may be meant.
    """
    text = _THOUGHT.sub("", text[: _LONGEST + 1], count=1).strip()
    if not text:
        raise Invalid("it is empty")
    if len(text) > _LONGEST:
        raise Invalid(f"it has more than {_LONGEST} letters")
    fenced = _FENCED.fullmatch(text)
    try:
        found = json.loads(
            fenced[1] if fenced else text,
            object_pairs_hook=_once,
            parse_constant=_no_number,
            parse_int=_whole,
        )
    except RecursionError as error:
        raise Invalid("it is nested too deeply") from error
    except Invalid:
        raise
    except ValueError as error:
        raise Invalid("it is not JSON") from error
    if not isinstance(found, dict):
        raise Invalid("it is no JSON object")
    return found


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise Invalid("it has a key twice")
    return found


def _no_number(name: str) -> float:
    raise Invalid(f"{name} is no number")


def _whole(digits: str) -> int:
    if len(digits) > _DIGITS:
        raise Invalid("it has a number beyond all use")
    return int(digits)


def read_names(answer: dict[str, Any]) -> list[str]:
    """Return the names of parts of the first round.

    Raises:
        Invalid: none, too many, two that are the same, or no names.
    """
    found = [_text(name, LONGEST_NAME, "a part's name") for name in _list(answer, "parts")]
    if not 1 <= len(found) <= MOST_PARTS:
        raise Invalid(f"it names {len(found)} parts, expected 3 to 6")
    if len({_key(name) for name in found}) < len(found):
        raise Invalid("it names a part twice")
    return found


def read_findings(answer: dict[str, Any], parts: Sequence[str]) -> dict[str, str]:
    """Return what the second round says of each part.

    Raises:
        Invalid: a part is absent, stands twice or was not asked for, or nothing is said of it.
    """
    rows = _rows(answer, "comparisons", parts)
    return {part: _text(row.get("finding"), LONGEST_FINDING, "a finding") for part, row in rows.items()}


def read_scores(answer: dict[str, Any], parts: Sequence[str]) -> dict[str, int]:
    """Return the third round's score of each part, a whole number from 0 to 4.

    Raises:
        Invalid: a part is absent, stands twice or was not asked for, or its score is none.
    """
    return {part: _score(row.get("score")) for part, row in _rows(answer, "scores", parts).items()}


def read_caption(answer: dict[str, Any]) -> str:
    """Return a caption: one line of printable text.

    Raises:
        Invalid: it is none, or too long.
    """
    return _text(answer.get("caption"), LONGEST_CAPTION, "the caption")


def _rows(answer: dict[str, Any], kind: str, parts: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return the rows of a list by the parts that they are about, in the order of the parts."""
    wanted = {_key(part): part for part in parts}
    found: dict[str, dict[str, Any]] = {}
    for row in _list(answer, kind):
        name = row.get("part") if isinstance(row, dict) else None
        part = wanted.get(_key(name)) if isinstance(name, str) else None
        if part is None:
            raise Invalid(f"{kind} has a row about no part that was asked for")
        if part in found:
            raise Invalid(f"{kind} has two rows about one part")
        found[part] = row
    if len(found) < len(parts):
        raise Invalid(f"{kind} is about {len(found)} of {len(parts)} parts")
    return {part: found[part] for part in parts}


def _list(answer: dict[str, Any], name: str) -> list[Any]:
    found = answer.get(name)
    if not isinstance(found, list):
        raise Invalid(f"it has no list {name}")
    return found


def _text(value: Any, longest: int, what: str) -> str:
    text = " ".join(value.split()) if isinstance(value, str) else ""
    if not text or len(text) > longest or not text.isprintable():
        raise Invalid(f"{what} is no line of 1 to {longest} printable letters")
    return text


def _score(value: Any) -> int:
    whole = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not whole or value != int(value) or not 0 <= value <= HIGHEST:
        raise Invalid(f"a score is no whole number from 0 to {HIGHEST}")
    return int(value)


def _key(name: str) -> str:
    return " ".join(name.casefold().split())
