"""The workflows in ComfyUI's real page: every node known, no error of ours, and saved again as they were."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from .conftest import HERE, PACK
from .server import ComfyServer

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: make setup")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
WORKFLOWS = sorted((HERE.parents[1] / "workflows").glob("*.json"))
READY = """() => window.app && window.app.graph && window.LiteGraph
    && Object.keys(window.LiteGraph.registered_node_types).length > 300 && window.app.canvas"""

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium, chromium-browser or google-chrome is on the PATH"),
]


@pytest.fixture(scope="module")
def page(comfy: ComfyServer) -> Iterator[Any]:
    """Return the page with all nodes registered; what its console says lands in `page.said`."""
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1600, "height": 1000})
        page.set_default_timeout(180_000)
        page.said = []
        page.on("console", lambda message: page.said.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: page.said.append(str(error)))
        page.goto(comfy.address, wait_until="domcontentloaded")
        page.wait_for_function(READY)
        page.wait_for_timeout(3000)
        yield page
        browser.close()


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
    assert [text for text in page.said if PACK in text or "USO" in text] == []
    again = page.evaluate("() => JSON.parse(JSON.stringify(app.graph.serialize()))")
    assert _essence(again) == _essence(graph)


def _essence(graph: dict[str, Any]) -> Any:
    """Return what a graph means: its nodes, their values, and what is wired to what."""
    nodes = {node["id"]: (node["type"], node.get("widgets_values") or []) for node in graph["nodes"]}
    names = {node["id"]: [entry["name"] for entry in node.get("inputs", [])] for node in graph["nodes"]}
    links = sorted((link[1], link[2], link[3], names[link[3]][link[4]]) for link in graph["links"])
    return nodes, links
