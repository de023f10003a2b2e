"""The templates in Chinese: every line of their notes and every title, as web/templates.js looks them up."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from .house import ROOT

HAN = re.compile(r"[\u4e00-\u9fff]")
SAME = re.compile(r"\]\(([^)]+)\)|(\d+(?:\.\d+)?)|\*\*([\w./-]+\.(?:json|png|webp)|models/\w+)\*\*", re.ASCII)
"""What no translation changes: addresses, numbers and files."""


def said(graph: dict[str, Any]) -> Iterator[str]:
    """Yield what a template says in English, but for names of files."""
    for part in [*graph["nodes"], *graph.get("groups", [])]:
        if part.get("title"):
            yield part["title"]
        if part.get("type") == "MarkdownNote":
            for line in part["widgets_values"][0].split("\n"):
                if line and not line.startswith(("|---", "| [")):
                    yield line


def test_every_line_and_title_of_the_templates_has_its_chinese_and_no_other() -> None:
    words = json.loads((ROOT / "locales/zh/main.json").read_text(encoding="utf-8"))["usoTemplates"]
    graphs = [json.loads(path.read_text(encoding="utf-8")) for path in (ROOT / "workflows").glob("*.json")]
    english = {text for graph in graphs for text in said(graph)}
    assert english, "no templates were found"
    assert english - set(words) == set(), "these have no Chinese"
    assert set(words) - english == set(), "no template says these"
    for text, chinese in words.items():
        assert HAN.search(chinese), text
        assert sorted(SAME.findall(text)) == sorted(SAME.findall(chinese)), text
        assert text.startswith("#") == chinese.startswith("#") and text.count("|") == chinese.count("|"), text
        assert text.count("**") % 2 == chinese.count("**") % 2 == 0, text


def test_the_chinese_names_of_nodes_are_those_of_the_nodes() -> None:
    nodes = json.loads((ROOT / "locales/zh/nodeDefs.json").read_text(encoding="utf-8")).values()
    names = [node["display_name"] for node in nodes]
    words = json.loads((ROOT / "locales/zh/main.json").read_text(encoding="utf-8"))["usoTemplates"]
    for chinese in words.values():
        for bold in re.findall(r"\*\*(USO [\u4e00-\u9fff][^*]*)\*\*", chinese):
            assert bold in names, chinese
