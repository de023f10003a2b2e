"""What our script adds to ComfyUI's page: folded inputs, colours, thumbnails, and values that old graphs lack."""

from __future__ import annotations

import json
from typing import Any

import pytest

from .browser import CHROMIUM, nodes_2
from .conftest import HERE

OLD = HERE.parent / "data/old"
COLOURED = ("USO_FEATURES", "USO_STYLE", "USO_CONTENT", "MODEL_PATCH")
SHOWN = "node => node.widgets.filter(widget => node.isWidgetVisible(widget)).map(widget => widget.name)"
DIALS = [f"{role}_{dial}" for role in ("style", "content") for dial in ("strength", "start", "end")]

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium, chromium-browser or google-chrome is on the PATH"),
]


@pytest.fixture(autouse=True)
def _empty(page: Any) -> None:
    nodes_2(page, False)
    page.evaluate("() => app.graph.clear()")
    page.said.clear()


def add(page: Any, kind: str) -> Any:
    """Add a node to the graph and return a handle of it."""
    return page.evaluate_handle(
        "kind => { const node = LiteGraph.createNode(kind); node.pos = [100, 100]; app.graph.add(node); return node; }",
        kind,
    )


def drawn(page: Any) -> None:
    """Wait until the canvas has been drawn again."""
    page.evaluate("() => { app.canvas.setDirty(true, true); return new Promise(requestAnimationFrame); }")
    page.wait_for_timeout(300)


def test_advanced_inputs_are_folded_in_classic_rendering(page: Any) -> None:
    node = add(page, "USO_Apply")
    drawn(page)
    folded = node.evaluate("node => node.size[1]")
    assert node.evaluate(SHOWN) == DIALS
    rows = "node => node.widgets.filter(w => node.isWidgetVisible(w)).map(w => w.y)"
    gaps = node.evaluate(f"node => {{ const y = ({rows})(node); return y.slice(1).map((v, i) => v - y[i]); }}")
    assert len(set(gaps)) == 1, "no space is left for what is folded"
    assert node.evaluate("node => node.widgets.at(-1).y") < 0, "no link can be dropped on what is folded"
    offered = "node => app.canvas.getNodeMenuOptions(node).map(option => option?.content)"
    assert "Show Advanced" in node.evaluate(offered)
    node.evaluate("node => node.toggleAdvanced()")
    drawn(page)
    assert len(node.evaluate(SHOWN)) == node.evaluate("node => node.widgets.length") == 15
    assert node.evaluate("node => node.size[1]") > folded + 150 and "Hide Advanced" in node.evaluate(offered)
    node.evaluate("node => node.toggleAdvanced()")
    assert node.evaluate("node => node.size[1]") == folded and node.evaluate(SHOWN) == DIALS


def test_a_folded_input_shows_its_link(page: Any) -> None:
    node, text = add(page, "USO_Apply"), add(page, "PrimitiveString")
    connect = "(text, node) => text.connect(0, node, node.inputs.findIndex(input => input.name === 'style_blocks'))"
    assert page.evaluate(f"([text, node]) => ({connect})(text, node) !== null", [text, node])
    assert "style_blocks" in node.evaluate(SHOWN)


def test_the_setting_that_shows_all_is_kept(page: Any) -> None:
    node, choose = add(page, "USO_EncodeContent"), "Comfy.Node.AlwaysShowAdvancedWidgets"
    page.evaluate(f"() => app.ui.settings.setSettingValueAsync('{choose}', true)")
    try:
        assert len(node.evaluate(SHOWN)) == node.evaluate("node => node.widgets.length")
    finally:
        page.evaluate(f"() => app.ui.settings.setSettingValueAsync('{choose}', false)")
    assert node.evaluate(SHOWN) == ["long_side", "latent_long_side"]


@pytest.mark.parametrize("on", [False, True], ids=["classic", "nodes 2.0"])
def test_saved_graphs_stay_as_they_are(on: bool, page: Any) -> None:
    """Saved, read and saved again, a graph is the same, sizes and all."""
    nodes_2(page, on)
    page.evaluate("graph => app.loadGraphData(graph)", json.loads((OLD / "workflow.json").read_text(encoding="utf-8")))
    page.evaluate("""() => ['USO_Apply', 'USO_EncodeContent', 'USO_Example', 'USO_LoadModels'].forEach((kind, i) => {
        const node = LiteGraph.createNode(kind); node.pos = [400 * i, 2000]; app.graph.add(node); })""")
    drawn(page)
    saved = page.evaluate("() => JSON.parse(JSON.stringify(app.graph.serialize()))")
    page.evaluate("graph => app.loadGraphData(graph)", saved)
    drawn(page)
    again = page.evaluate("() => JSON.parse(JSON.stringify(app.graph.serialize()))")
    for graph in (saved, again):
        graph.pop("extra", None)  # where the view was
    assert again == saved
    assert "advanced" not in json.dumps(saved).lower() and "thumbnail" not in json.dumps(saved)


def test_sockets_have_colours_whatever_the_palette(page: Any) -> None:
    table = "() => [LGraphCanvas.link_type_colors, app.canvas.default_connection_color_byType]"
    style = "type => getComputedStyle(document.documentElement).getPropertyValue(`--color-datatype-${type}`).trim()"
    for palette in ("light", "dark"):
        page.evaluate("name => app.ui.settings.setSettingValueAsync('Comfy.ColorPalette', name)", palette)
        page.wait_for_timeout(1000)
        for colours in page.evaluate(table):
            assert len({colours[name] for name in COLOURED}) == len(COLOURED)
            assert all(colours[name].startswith("#") for name in COLOURED)
            assert {page.evaluate(style, name) for name in COLOURED} == {colours[name] for name in COLOURED}


@pytest.mark.parametrize("on", [False, True], ids=["classic", "nodes 2.0"])
def test_an_example_shows_its_pictures(on: bool, page: Any) -> None:
    nodes_2(page, on)
    node = add(page, "USO_Example")
    page.evaluate("() => app.canvas.ds.reset()")  # a graph that was loaded before has moved the view
    drawn(page)
    shown = """name => [...document.querySelectorAll(`img[alt='${name}']`)].some(picture =>
        picture.naturalWidth === 256 && picture.checkVisibility() && picture.getBoundingClientRect().width > 100)"""
    page.wait_for_function(shown, arg="owl, blueprint")
    node.evaluate("node => { const w = node.widgets[0]; w.value = 'house, cartoon'; w.callback(w.value); }")
    page.wait_for_function(shown, arg="house, cartoon")
    assert node.evaluate("node => node.serialize().widgets_values") == ["house, cartoon"]
    page.evaluate("graph => app.loadGraphData(graph)", page.evaluate("() => app.graph.serialize()"))
    page.wait_for_function(shown, arg="house, cartoon")
    (sent,) = page.evaluate("async () => Object.values((await app.graphToPrompt()).output)")
    assert sent["inputs"] == {"name": "house, cartoon"}
    assert [text for text in page.said if "USO" in text or "uso" in text] == []


RULES = """() => {
    const found = [];
    const search = graph => graph.nodes.forEach(node => {
        if (node.isSubgraphNode?.()) search(node.subgraph);
        if (node.type === 'USO_EncodeContent') found.push(node.widgets.find(w => w.name === 'size_rule').value);
    });
    search(app.rootGraph);
    return found;
}"""


def test_new_nodes_follow_the_official_size_rule(page: Any) -> None:
    add(page, "USO_EncodeContent")
    assert page.evaluate(RULES) == ["official"]


@pytest.mark.parametrize("inside", [False, True], ids=["graph", "subgraph"])
def test_an_old_graph_keeps_its_size_rule(inside: bool, page: Any) -> None:
    page.evaluate("graph => app.loadGraphData(graph)", json.loads((OLD / "workflow.json").read_text(encoding="utf-8")))
    if inside:
        page.evaluate("""() => {
            const node = app.graph.nodes.find(node => node.type === 'USO_EncodeContent');
            app.graph.convertToSubgraph(new Set([node]));
        }""")
        saved = page.evaluate("() => JSON.parse(JSON.stringify(app.graph.serialize()))")
        (body,) = saved["definitions"]["subgraphs"]
        (node,) = [node for node in body["nodes"] if node["type"] == "USO_EncodeContent"]
        node["widgets_values"] = node["widgets_values"][:7]  # as version 0.1.0 saved it
        node.pop("widgets_values_named", None)
        page.evaluate("graph => app.loadGraphData(graph)", saved)
    assert page.evaluate(RULES) == ["nearest"]
    page.evaluate("graph => app.loadGraphData(graph)", page.evaluate("() => app.graph.serialize()"))
    assert page.evaluate(RULES) == ["nearest"]
    sent = page.evaluate("async () => Object.values((await app.graphToPrompt()).output)")
    assert [n["inputs"]["size_rule"] for n in sent if n["class_type"] == "USO_EncodeContent"] == ["nearest"]


def test_a_new_graph_keeps_what_was_chosen(page: Any) -> None:
    node = add(page, "USO_EncodeContent")
    for rule in ("nearest", "official"):
        node.evaluate("(node, rule) => { node.widgets.find(w => w.name === 'size_rule').value = rule; }", rule)
        page.evaluate("graph => app.loadGraphData(graph)", page.evaluate("() => app.graph.serialize()"))
        assert page.evaluate(RULES) == [rule]
        node = page.evaluate_handle("() => app.graph.nodes[0]")


def test_an_old_graph_in_api_form_keeps_its_size_rule(page: Any) -> None:
    prompt = json.loads((OLD / "graph_api.json").read_text(encoding="utf-8"))
    page.evaluate("prompt => app.loadApiJson(prompt, 'old')", prompt)
    assert set(page.evaluate(RULES)) == {"nearest"}
