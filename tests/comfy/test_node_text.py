"""What a node tells below its inputs while it runs, in the real page and in both renderings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from comfyui_uso.mini.model import missing_files
from comfyui_uso.uso_model.checkpoints.projector import save_projector
from comfyui_uso.uso_model.projector import HierarchicalProjector

from .browser import CHROMIUM, nodes_2
from .server import ComfyServer
from .weights import TINY

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium, chromium-browser or google-chrome is on the PATH"),
    pytest.mark.skipif(bool(missing_files()), reason=f"USO-mini lacks {', '.join(missing_files())}"),
]

BUILD = """([width, taken]) => {
  app.graph.clear()
  const add = (type, x, y, values) => {
    const node = LiteGraph.createNode(type)
    node.pos = [x, y]
    app.graph.add(node)
    for (const [name, value] of Object.entries(values)) node.widgets.find(w => w.name === name).value = value
    return node
  }
  if (taken) {
    const model = add('UNETLoader', 20, 80, {unet_name: 'tiny-flux.safetensors'})
    const uso = add('USO_LoadModels', 420, 80, {})
    const end = add('PreviewAny', 900, 80, {})
    model.connect(0, uso, 0)
    uso.connect(0, end, 0)
    return
  }
  const mini = add('USO_LoadMini', 20, 80, {})
  const text = add('CLIPTextEncode', 420, 80, {text: 'a cat'})
  const empty = add('EmptySD3LatentImage', 420, 420, {width, height: 64})
  const sampler = add('KSampler', 900, 80, {steps: 1, cfg: 1})
  const end = add('SaveLatent', 1300, 80, {})
  mini.connect(1, text, 0)
  mini.connect(0, sampler, 0)
  text.connect(0, sampler, 1)
  text.connect(0, sampler, 2)
  empty.connect(0, sampler, 3)
  sampler.connect(0, end, 0)
}"""
TEXT = (
    """type => app.graph._nodes.find(n => n.type === type).widgets.find(w => w.name === '$$node-text-preview')?.value"""
)
SAVED = """type => app.graph.serialize().nodes.find(n => n.type === type).widgets_values.length"""


def run(page: Any, comfy: ComfyServer) -> None:
    """Press Run and wait for the end."""
    before = len(comfy.get_json("/history"))
    page.evaluate("() => app.queuePrompt(0)")
    for _ in range(600):
        page.wait_for_timeout(200)
        if len(comfy.get_json("/history")) > before:
            page.wait_for_timeout(500)
            return
    raise TimeoutError(comfy.log_tail())


@pytest.mark.parametrize("vue", [False, True], ids=["classic", "Nodes 2.0"])
def test_a_size_that_is_too_large_is_said_on_the_sampler(vue: bool, page: Any, comfy: ComfyServer) -> None:
    nodes_2(page, vue)
    page.evaluate(BUILD, [256, False])
    run(page, comfy)
    assert page.evaluate(TEXT, "KSampler").replace("\u00d7", "x") == (
        "256 x 64 is too large for USO-mini: set the latent's sides to 128."
    )
    assert page.evaluate(SAVED, "KSampler") == 7, "the text is not saved with the graph"
    size = "w => app.graph._nodes.find(n => n.type === 'EmptySD3LatentImage').widgets[0].value = w"
    page.evaluate(size, 128)
    run(page, comfy)
    assert page.evaluate(TEXT, "KSampler").strip() == ""


@pytest.mark.parametrize("vue", [False, True], ids=["classic", "Nodes 2.0"])
def test_what_auto_took_is_said_on_the_loader(vue: bool, page: Any, comfy: ComfyServer, wide_files: Path) -> None:
    projector = HierarchicalProjector(729, 64, 1152, TINY.hidden_size)
    save_projector(wide_files / "model_patches/uso-tiny.safetensors", projector)
    nodes_2(page, vue)
    page.evaluate(BUILD, [0, True])
    run(page, comfy)
    told = page.evaluate(TEXT, "USO_LoadModels")
    assert "LoRA: tiny-uso-lora.safetensors" in told and "vision model: wide-siglip.safetensors" in told


def test_graphs_that_were_saved_before_the_own_files_take_the_bundled_ones(page: Any) -> None:
    node = {"id": 1, "type": "USO_LoadMini", "pos": [0, 0], "size": [200, 100], "flags": {}, "order": 0, "mode": 0}
    node |= {"inputs": [], "outputs": [], "properties": {}, "widgets_values": [0.5, "d0:1"]}
    graph = {"last_node_id": 1, "last_link_id": 0, "nodes": [node], "links": [], "groups": [], "version": 0.4}
    page.evaluate("graph => app.loadGraphData(graph)", graph)
    page.wait_for_timeout(500)
    values = page.evaluate("() => app.graph._nodes[0].widgets.map(w => w.value)")
    assert values == [0.5, "d0:1", "bundled", "bundled"]
