"""The graphs of curation on the real page, and what a person saves there with those titles."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from comfyui_uso.trainer.curate.experts.titles import SHIPPED, TitledGraph

from .browser import CHROMIUM

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium, chromium-browser or google-chrome is on the PATH"),
]


def exported(page: Any) -> dict[str, Any]:
    """Return what File > Export (API) saves."""
    return page.evaluate("async () => (await app.graphToPrompt()).output")


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.json")), ids=lambda path: path.stem)
def test_a_graph_opens_and_is_saved_with_its_titles(page: Any, tmp_path: Path, path: Path) -> None:
    page.evaluate("([graph, name]) => app.loadApiJson(graph, name)", [json.loads(path.read_text()), path.stem])
    page.wait_for_function("() => app.graph.nodes.some(node => node.title === 'uso:seed')")
    file = tmp_path / "saved.json"
    file.write_text(json.dumps(exported(page)), encoding="utf-8")
    own, saved = TitledGraph(path).bound(), TitledGraph(file).bound()
    assert saved.places == own.places and saved.output == own.output


def test_titles_that_a_person_gives_are_found(page: Any, tmp_path: Path) -> None:
    page.evaluate("""() => {
        app.graph.clear();
        for (const [type, title] of [["LoadImage", "uso:style"], ["CLIPTextEncode", "uso:prompt"],
                ["EmptySD3LatentImage", "uso:size"], ["KSampler", "uso:seed"], ["PreviewImage", "uso:out"]]) {
            const node = LiteGraph.createNode(type);
            node.title = title;
            app.graph.add(node);
        }
    }""")
    file = tmp_path / "saved.json"
    file.write_text(json.dumps(exported(page)), encoding="utf-8")
    graph = TitledGraph(file)
    assert (
        set(graph.bound({"style", "prompt"}).places) == {"style", "prompt", "width", "height", "seed"} and graph.sized
    )
