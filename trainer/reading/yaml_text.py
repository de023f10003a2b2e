"""YAML from strangers: parsed with an end to its depth, and the line of each of its settings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

__all__ = ["BROKEN_YAML", "lines_of", "parse_yaml"]

BROKEN_YAML = (yaml.YAMLError, RecursionError, ValueError, TypeError, LookupError, AttributeError, OverflowError)
"""What PyYAML raises: also on values that a tag or a pattern promises and the text does not keep, such as
`!!timestamp x`."""

_DEEPEST = 1000
_MERGE = "tag:yaml.org,2002:merge"
_DASHES = re.compile(r"(?:[-?] )+")


def parse_yaml(text: str) -> Any:
    """Parse YAML whose nesting has an end: PyYAML's time grows with the square of the depth.

    Raises:
        ValueError: more levels than any settings have, or a setting that stands twice, of which PyYAML would take the
            last without a word.
    """
    runs = (len(run) // 2 for run in _DASHES.findall(text))
    if max(text.count("[") + text.count("{"), *runs, 0) > _DEEPEST:
        raise ValueError(f"more than {_DEEPEST} levels are nested")
    return yaml.load(text, Loader=_Once)


class _Once(yaml.SafeLoader):
    """The safe loader, with each key once."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        lines: dict[str, int] = {}
        for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode) or key.tag == _MERGE:
                continue
            if key.value in lines:
                raise ValueError(f"{key.value!r} stands twice, in line {lines[key.value]} and {line}; keep one of them")
            lines[key.value] = line
        return super().construct_mapping(node, deep)


def lines_of(path: Path) -> dict[str, int]:
    """Return the line of each dotted setting of a file, none where it cannot be told."""
    try:
        node = yaml.compose(path.read_text(encoding="utf-8-sig"), Loader=yaml.SafeLoader)
        return dict(_lines(node, ""))
    except (OSError, *BROKEN_YAML):
        return {}


def _lines(node: Any, prefix: str) -> Iterator[tuple[str, int]]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                yield prefix + key.value, key.start_mark.line + 1
                yield from _lines(value, f"{prefix}{key.value}.")
