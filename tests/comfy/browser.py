"""ComfyUI's real page in Chromium, driven by Playwright."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from typing import Any

__all__ = ["CHROMIUM", "nodes_2", "open_page", "open_search"]

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
READY = """() => window.app && window.app.graph && window.LiteGraph
    && Object.keys(window.LiteGraph.registered_node_types).length > 300 && window.app.canvas"""
PATIENCE = 180_000
"""Milliseconds; the server and the page share the cores with other work."""
_TRIES, _OPENS = 12, 15_000
"""Double clicks, and milliseconds in which one opens the search."""


@contextlib.contextmanager
def open_page(address: str) -> Iterator[Any]:
    """Open the page with all nodes registered; what its console says lands in `page.said`."""
    from playwright import sync_api

    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page: Any = browser.new_page(viewport={"width": 1600, "height": 1000})
        page.set_default_timeout(PATIENCE)
        page.said = []
        page.on("console", lambda message: page.said.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: page.said.append(str(error)))
        page.goto(address, wait_until="domcontentloaded")
        page.wait_for_function(READY)
        page.wait_for_timeout(3000)
        yield page
        browser.close()


def nodes_2(page: Any, on: bool) -> None:
    """Choose between classic rendering and Nodes 2.0; the server keeps the choice."""
    page.evaluate("on => app.ui.settings.setSettingValueAsync('Comfy.VueNodes.Enabled', on)", on)
    page.wait_for_function("on => LiteGraph.vueNodesMode === on", arg=on)


def open_search(page: Any, x: int, y: int) -> None:
    """Open the node search as a person does, by a double click on an empty place.

    On a busy machine the clicks may come too far apart to be one, and a person clicks again.
    """
    from playwright.sync_api import TimeoutError as TooLong

    for left in reversed(range(_TRIES)):
        page.mouse.dblclick(x, y)
        try:
            page.get_by_test_id("result-item").first.wait_for(timeout=_OPENS)
            return
        except TooLong:
            if not left:
                raise
