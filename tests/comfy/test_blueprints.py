"""The blueprints in ComfyUI's real page: found by search, whole inside, and drawing what the nodes draw."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch

from .browser import CHROMIUM, nodes_2, open_search
from .conftest import HERE, PACK
from .server import ComfyServer
from .test_mute import Draft, latent

FILES = sorted((HERE.parents[1] / "subgraphs").glob("*.json"))
ONE_BOX = "USO character and style"
SIZE = 128

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium, chromium-browser or google-chrome is on the PATH"),
]

every_blueprint = pytest.mark.parametrize("name", [path.stem for path in FILES])


def insert(page: Any, name: str) -> Any:
    """Add a blueprint as a person does, by the node search, and return a handle of its node."""
    page.keyboard.press("Escape")  # what the page offers to a new user
    page.wait_for_timeout(500)
    before = page.evaluate("() => app.graph.nodes.map(node => node.id)")
    open_search(page, 1500, 650)
    page.keyboard.type(name, delay=20)
    page.wait_for_timeout(1000)
    page.keyboard.press("Enter")
    find = "before => app.graph.nodes.find(node => !before.includes(node.id))"
    page.wait_for_function(f"before => !!({find})(before)", arg=before, timeout=20_000)
    # The node follows the mouse until it is put down; Escape in another graph would delete that graph's node of its id.
    page.wait_for_timeout(500)
    page.mouse.click(1500, 650)
    page.wait_for_function("() => app.canvas.state.ghostNodeId == null", timeout=20_000)
    return page.evaluate_handle(find, before)


def wire(page: Any, node: Any, **sources: list[Any]) -> None:
    """Connect inputs of a node to outputs of others, given as `[id, output]`."""
    for name, (source, output) in sources.items():
        page.evaluate(
            "([node, name, id, output]) => app.graph.getNodeById(id).connect(output, node, "
            "node.inputs.findIndex(input => input.name === name))",
            [node, name, source, output],
        )


def choose(node: Any, **values: Any) -> None:
    """Set widgets."""
    for name, value in values.items():
        node.evaluate("(n, [name, value]) => { n.widgets.find(w => w.name === name).value = value; }", [name, value])


def test_the_server_offers_them_all(comfy: ComfyServer) -> None:
    offered = [e["name"] for e in comfy.get_json("/global_subgraphs").values() if e["info"]["node_pack"].endswith(PACK)]
    assert set(offered) == {path.stem for path in FILES} and ONE_BOX in offered and len(offered) == 4


@pytest.mark.parametrize("on", [False, True], ids=["classic", "nodes 2.0"])
@every_blueprint
def test_search_finds_it_and_nothing_is_missing_inside(name: str, on: bool, page: Any) -> None:
    nodes_2(page, on)
    page.evaluate("() => app.graph.clear()")
    page.said.clear()
    node = insert(page, name)
    assert node.evaluate("node => node.title") == name
    inside = node.evaluate("node => node.subgraph.nodes.map(node => [node.type, !!node.has_errors])")
    known = page.evaluate("() => Object.keys(LiteGraph.registered_node_types)")
    assert inside and all(kind in known and not wrong for kind, wrong in inside)
    strengths = node.evaluate("n => n.widgets.filter(w => w.name.endsWith('strength')).map(w => w.value)")
    assert strengths == [1] * (2 if " and " in name else 1)
    assert any(kind == "MASK" for kind in node.evaluate("n => n.inputs.map(input => input.type)"))
    assert [text for text in page.said if "USO" in text or PACK in text] == []


@pytest.mark.parametrize("kind", ["style", "subject", "style and subject"])
def test_it_draws_what_the_nodes_draw(kind: str, page: Any, comfy: ComfyServer) -> None:
    nodes_2(page, False)
    style, content = "style" in kind, "subject" in kind
    graph, nodes = Draft(), Draft()
    model, positive, (example, _) = graph.model, graph.positive, graph.example[0]
    vision, projector, vae = graph.vision, graph.projector, graph.vae
    nodes.simple(style, content)
    saved, expected = graph.draw(), nodes.draw()
    page.evaluate("prompt => app.loadApiJson(prompt, 'draft')", graph.nodes)
    box = insert(page, f"USO {kind}")
    names = ("style_image", "subject_image") if style and content else ("image", "image")
    given = {"model": model, "positive": positive}
    if style:
        given |= {"clip_vision": vision, "projector": projector, names[0]: [example, 0]}
    if content:
        given |= {"vae": vae, names[1]: [example, 1]}
        choose(box, long_side=SIZE, latent_long_side=SIZE)
    wire(page, box, **given)
    for output, name in enumerate(("model", "positive")):
        page.evaluate(
            "([box, output, name]) => { const end = app.graph.nodes.find(node => node.type === 'KSampler'); "
            "box.connect(output, end, end.inputs.findIndex(input => input.name === name)); }",
            [box, output, name],
        )
    sent = page.evaluate("async () => (await app.graphToPrompt()).output")
    assert torch.equal(latent(comfy, sent, saved), comfy.run(nodes).latent(expected))


def test_the_one_box_is_the_templates_job_on_its_files(page: Any, comfy: ComfyServer) -> None:
    """Here with USO-mini in the place of the checkpoint and of what USO adds to it."""
    nodes_2(page, False)
    example = Draft().example
    graph = Draft()
    page.evaluate("prompt => app.loadApiJson(prompt, 'draft')", {example.id: graph.nodes[example.id]})
    box = insert(page, ONE_BOX)
    files = box.evaluate("n => Object.fromEntries(n.widgets.map(w => [w.name, w.value]))")
    assert files["ckpt_name"] == "flux1-dev-fp8.safetensors"
    assert files["clip_vision"] == "sigclip_vision_patch14_384.safetensors"
    assert (files["lora"], files["projector"]) == (
        "uso-flux1-dit-lora-v1.safetensors",
        "uso-flux1-projector-v1.safetensors",
    )
    choose(box, width=SIZE, height=SIZE, steps=2, seed=5, text="a cat")
    wire(page, box, style_image=[example.id, 0], subject_image=[example.id, 1])
    end = "() => { const end = LiteGraph.createNode('PreviewImage'); app.graph.add(end); return end; }"
    page.evaluate("([box, end]) => box.connect(0, end, 0)", [box, page.evaluate_handle(end)])
    for mode, references in ((0, 2), (2, 0)):
        page.evaluate("([id, mode]) => { app.graph.getNodeById(id).mode = mode; }", [example.id, mode])
        sent = page.evaluate("async () => (await app.graphToPrompt()).output")
        wired = [node for node in sent.values() if "Reference" in node["class_type"] and "image" in node["inputs"]]
        assert len(wired) == references
        done = comfy.run(_with_mini(sent))
        assert len(done.outputs) == 1


def _with_mini(sent: dict[str, Any]) -> dict[str, Any]:
    """Return a prompt that loads USO-mini instead of a checkpoint."""
    outputs = {"CheckpointLoaderSimple": [0, 1, 2], "USO_LoadModels": [0, 4, 3]}
    replaced = {id_: outputs[node["class_type"]] for id_, node in sent.items() if node["class_type"] in outputs}
    assert len(replaced) == 2
    graph = json.loads(json.dumps({id_: node for id_, node in sent.items() if id_ not in replaced}))
    for node in graph.values():
        for name, value in node["inputs"].items():
            if isinstance(value, list) and value[0] in replaced:
                node["inputs"][name] = ["mini", replaced[value[0]][value[1]]]
    return {**graph, "mini": {"class_type": "USO_LoadMini", "inputs": {"lora_strength": 1.0}}}
