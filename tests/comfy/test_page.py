"""The workflows in ComfyUI's real page: every node known, no error of ours, and saved again as they were."""

from __future__ import annotations

import json
from typing import Any

import pytest

from .browser import CHROMIUM
from .conftest import HERE, PACK

WORKFLOWS = sorted((HERE.parents[1] / "workflows").glob("*.json"))

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium, chromium-browser or google-chrome is on the PATH"),
]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflow_opens_and_is_saved_as_it_was(page: Any, path: Any) -> None:
    graph = json.loads(path.read_text(encoding="utf-8"))
    page.said.clear()
    page.evaluate("graph => window.app.loadGraphData(graph)", graph)
    page.wait_for_timeout(500)
    unknown = page.evaluate(
        "() => app.graph._nodes.filter(n => !LiteGraph.registered_node_types[n.type]).map(n => n.type)"
    )
    assert unknown == []
    # The page asks for the sizes of missing models, and this server forbids it to: their addresses have our name.
    said = [text for text in page.said if "Content Security Policy" not in text]
    assert [text for text in said if PACK in text or "USO" in text] == []
    again = page.evaluate("() => JSON.parse(JSON.stringify(app.graph.serialize()))")
    assert _essence(again) == _essence(graph)


def _essence(graph: dict[str, Any]) -> Any:
    """Return what a graph means: its nodes, their values, and what is wired to what."""
    nodes = {node["id"]: (node["type"], node.get("widgets_values") or []) for node in graph["nodes"]}
    names = {node["id"]: [entry["name"] for entry in node.get("inputs", [])] for node in graph["nodes"]}
    links = sorted((link[1], link[2], link[3], names[link[3]][link[4]]) for link in graph["links"])
    return nodes, links
