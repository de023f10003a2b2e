"""The help pages as files: complete, and true to the nodes' schemas and messages. Needs no ComfyUI."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
PAGES = sorted((ROOT / "web/docs").glob("*.md"))
SCHEMAS: dict[str, dict[str, Any]] = json.loads((ROOT / "tests/data/node_schemas.json").read_text(encoding="utf-8"))

every_page = pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)


def test_every_node_appears_in_the_snapshot() -> None:
    declared = {
        ast.literal_eval(keyword.value)
        for path in (ROOT / "nodes").rglob("*.py")
        for keyword in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(keyword, ast.keyword) and keyword.arg == "node_id"
    }
    assert declared == {name for name in SCHEMAS if name.startswith("USO_")} == {path.stem for path in PAGES}


@every_page
def test_help_page_has_every_input_and_output(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    sections = {part.partition("\n")[0]: part for part in re.split(r"^## ", text, flags=re.MULTILINE)}
    for heading in ("Inputs", "Outputs", "When to use it", "Common problems", "Parity with the official code"):
        assert heading in sections, heading
    rows = dict(re.findall(r"^- `(\w+)` \((\w+)", sections["Inputs"], re.MULTILINE))
    words = {"INT": "integer", "FLOAT": "number", "BOOLEAN": "switch", "COMBO": "list"}
    schema = SCHEMAS[path.stem]
    assert rows == {name: words.get(spec["type"], spec["type"]) for name, spec in schema["inputs"].items()}
    assert re.findall(r"^- `\w+` \((\w+)", sections["Outputs"], re.MULTILINE) == [
        "any" if kind == "*" else kind for kind in schema["outputs"]
    ]


def messages() -> Iterator[re.Pattern[str]]:
    """Yield a pattern for every text with a filled-in part, and every long plain one, in the code."""
    for path in [*(ROOT / "nodes").rglob("*.py"), *(ROOT / "uso_model").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = (re.escape(part.value) if isinstance(part, ast.Constant) else ".*" for part in node.values)
                pattern = "".join(parts)
                if len(pattern.replace(".*", "")) > 30:
                    yield re.compile(pattern)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and len(node.value) > 30:
                yield re.compile(re.escape(node.value))


@every_page
def test_quoted_messages_are_the_real_ones(path: Path) -> None:
    known = list(messages())
    quoted = re.findall(r"^- (?:In the log: )?`([^`]* [^`]{25,})`", path.read_text(encoding="utf-8"), re.MULTILINE)
    assert quoted
    assert [message for message in quoted if not any(pattern.fullmatch(message) for pattern in known)] == []
