"""USO Score on the real server: a list in, one sorted batch and lists out, and nothing where no picture comes."""

from __future__ import annotations

from io import BytesIO

import pytest
from comfyui_uso.mini.example_pictures import examples
from PIL import Image, ImageChops

from .server import ComfyServer, Graph, Node, PromptRefused

NAMES = ("house, cartoon", "owl, blueprint", "teapot, bead picture")


def scored(graph: Graph, **inputs: object) -> Node:
    """Add the styles of three pairs as a list, their scores by the second one, and what shows the outputs."""
    pairs = [graph.add("USO_Example", name=name) for name in NAMES]
    every = graph.add("CreateList", **{f"inputs.input{place}": pair[0] for place, pair in enumerate(pairs)})
    given = {"images": every[0], "style_image": pairs[1][0], "subject_image": pairs[1][1], "sort_by": "style", **inputs}
    return graph.add("USO_Score", **given)


def test_a_list_becomes_a_sorted_batch(comfy: ComfyServer) -> None:
    graph = Graph()
    node = scored(graph)
    shown = graph.add("PreviewImage", images=node[0])
    texts = [graph.add("PreviewAny", source=node[output]) for output in (1, 2, 3)]
    run = comfy.run(graph)
    first = Image.open(BytesIO(run.pictures(shown)[0])).convert("RGB")
    assert len(run.pictures(shown)) == 3
    assert ImageChops.difference(first, examples()["5"].style).getbbox() is None
    scores, order, table = (run.outputs[text.id]["text"] for text in texts)
    values = [float(value) for value in scores]
    assert len(values) == 3 and values == sorted(values, reverse=True) and order[0] == "1"
    assert table[0].startswith("| rank | picture | style | subject |")


def test_without_pictures_nothing_runs_behind(comfy: ComfyServer) -> None:
    graph = Graph()
    node = scored(graph, images=None)
    shown = graph.add("PreviewImage", images=node[0])
    assert shown.id not in comfy.run(graph).outputs


def test_a_file_that_is_not_there_is_named(comfy: ComfyServer) -> None:
    graph = Graph()
    scored(graph, style_judge="gone.safetensors")
    with pytest.raises(PromptRefused, match=r"gone\.safetensors is not in models/judges or models/clip_vision"):
        comfy.run(graph)
