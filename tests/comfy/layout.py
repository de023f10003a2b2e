"""How a graph lies on the canvas of ComfyUI's page: what covers what, measured in the page."""

from __future__ import annotations

from typing import Any

from .browser import nodes_2

__all__ = ["covered", "fit", "show"]

_SHOW = """graph => app.loadGraphData(graph, true, true, app.extensionManager.workflow.activeWorkflow)"""

_OPEN = """() => { for (const node of app.graph._nodes) {
    node.showAdvanced = true;
    node.setSize([node.size[0], Math.max(node.size[1], node.computeSize()[1])]);
} }"""

# The page only measures, and only shows pictures of, what lies on the screen.
_FIT = """() => {
    const boxes = app.graph._nodes.map(node => [...node.boundingRect]);
    const left = Math.min(...boxes.map(b => b[0])), top = Math.min(...boxes.map(b => b[1]));
    const right = Math.max(...boxes.map(b => b[0] + b[2])), bottom = Math.max(...boxes.map(b => b[1] + b[3]));
    const view = app.canvas.ds;
    view.scale = Math.min(1500 / (right - left), 850 / (bottom - top + 300));
    view.offset = [-left + 60 / view.scale, -top + 100 / view.scale + 150];
    app.canvas.draw(true, true);
}"""

_COVERED = """() => {
    const boxes = app.graph._nodes.map(node => [`${node.type} ${node.id}`, ...node.boundingRect]);
    const found = [];
    boxes.forEach(([name, x, y, w, h], i) => boxes.slice(i + 1).forEach(([other, a, b, c, d]) => {
        if (x < a + c && a < x + w && y < b + d && b < y + h) found.push(`${name} lies over ${other}`);
    }));
    // A link that goes behind a node crosses its outline; at both sides there is room for the sockets.
    const pen = document.createElement('canvas').getContext('2d');
    pen.lineWidth = 6;
    const paths = [...app.graph.links.values(), ...app.graph.reroutes.values()].map(part => part.path);
    for (const path of paths.filter(Boolean)) for (const [name, x, y, w, h] of boxes) {
        const [l, r, t, b] = [x + 14, x + w - 14, y + 8, y + h - 8], outline = [];
        for (let at = l; at <= r; at += 4) outline.push([at, t], [at, b]);
        for (let at = t; at <= b; at += 4) outline.push([l, at], [r, at]);
        if (outline.some(([px, py]) => pen.isPointInStroke(path, px, py))) found.push(`a link runs behind ${name}`);
    }
    return {found, paths: paths.filter(Boolean).length};
}"""


def show(page: Any, graph: dict[str, Any]) -> None:
    """Open a graph in the tab that is open."""
    page.evaluate(_SHOW, graph)
    page.wait_for_timeout(800)


def fit(page: Any) -> None:
    """Bring the whole graph onto the screen."""
    page.evaluate(_FIT)


def covered(page: Any, graph: dict[str, Any], new: bool, advanced: bool) -> list[str]:
    """Return which nodes lie over others, and which hide a link, in one kind of rendering."""
    nodes_2(page, new)
    page.evaluate("on => app.ui.settings.setSettingValueAsync('Comfy.Node.AlwaysShowAdvancedWidgets', on)", advanced)
    show(page, graph)
    if advanced and not new:
        page.evaluate(_OPEN)
    fit(page)
    page.wait_for_timeout(1200 if new else 300)
    page.evaluate("() => app.canvas.draw(true, true)")
    measured = page.evaluate(_COVERED)
    assert measured["paths"] >= len(graph["links"]), "not every link has been drawn"
    return measured["found"]
