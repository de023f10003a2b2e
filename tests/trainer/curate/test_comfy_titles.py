"""Graphs say by titles what goes into them, and all that is wrong with the titles is said at once."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from comfyui_uso.trainer.curate.experts.titles import SHIPPED, TitledGraph, graph_file
from comfyui_uso.uso_model.errors import UserError

from ..evaluate.fake_comfy import GRAPH

__all__ = ["titled", "write"]

TITLES = {"1": "uso:prompt", "3": "uso:style", "4": "USO:content", "6": "uso:size", "7": " uso:seed", "8": "uso:out"}
SHIPPED_GRAPHS = sorted(SHIPPED.glob("*.json"))


def titled(**titles: str) -> dict[str, Any]:
    """Return the graph of the fake server with titles; `n3="..."` changes one."""
    graph = copy.deepcopy(GRAPH)
    for id_, title in {**TITLES, **{id_[1:]: title for id_, title in titles.items()}}.items():
        graph[id_]["_meta"] = {"title": title}
    return graph


def write(folder: Path, graph: dict[str, Any]) -> Path:
    """Write a graph into a file."""
    path = folder / "graph.json"
    path.write_text(json.dumps(graph), encoding="utf-8")
    return path


def test_titles_are_found(tmp_path: Path) -> None:
    graph = TitledGraph(write(tmp_path, titled()), {"uso:seed.steps": 9})
    bound = graph.bound({"style", "content", "prompt"})
    assert graph.sized and bound.output == "8"
    assert {name: tuple(place) for name, place in bound.places.items()} == {
        "prompt": ("1", "text"),
        "style": ("3", "image"),
        "content": ("4", "image"),
        "width": ("6", "width"),
        "height": ("6", "height"),
        "seed": ("7", "seed"),
    }
    assert bound.filled({"seed": 5})["7"]["inputs"]["steps"] == 9
    assert TitledGraph(write(tmp_path, titled())).bound().digest() != bound.digest()


@pytest.mark.parametrize(
    ("titles", "settings", "told"),
    [
        (
            {"n1": "x", "n7": "x", "n8": "x"},
            {},
            ["title uso:prompt", "title uso:seed", "no node has the title uso:out"],
        ),
        ({"n3": "uso:content", "n2": "uso:prompt"}, {}, ["2 nodes have the title uso:content", "2 nodes", "uso:style"]),
        ({"n2": "uso:contnet"}, {}, ["the title uso:contnet is none of uso:content, uso:style"]),
        ({"n1": "x", "n5": "uso:prompt"}, {}, ["the node uso:prompt (USO_Apply) has no input text or prompt"]),
        ({"n2": "uso:width"}, {}, ["the node uso:width (CLIPTextEncode) has no input width or value"]),
        ({}, {"uso:seed.cfg": 1}, ["the inputs of uso:seed are seed, steps"]),
        (
            {},
            {"seed": 1, "KSampler.steps": 2},
            ["settings name seed, but 0 nodes have the title", "settings name KSampler.steps"],
        ),
        ({}, {"uso:seed.steps": [1]}, ["no text, number or truth value"]),
    ],
)
def test_all_that_is_wrong_is_said_at_once(
    titles: dict[str, str], settings: dict[str, Any], told: list[str], tmp_path: Path
) -> None:
    graph = TitledGraph(write(tmp_path, titled(**titles)), settings)
    with pytest.raises(UserError) as error:
        graph.bound({"style", "content", "prompt"})
    assert all(words in str(error.value) for words in told), error.value


def test_an_input_that_comes_from_another_node_is_said(tmp_path: Path) -> None:
    graph = titled()
    graph["7"]["inputs"]["seed"] = ["6", 0]
    with pytest.raises(UserError, match="seed of the node uso:seed comes from another node"):
        TitledGraph(write(tmp_path, graph)).bound()


@pytest.mark.parametrize("path", SHIPPED_GRAPHS, ids=lambda path: path.stem)
def test_shipped_graphs_say_where_everything_goes(path: Path) -> None:
    graph = TitledGraph(graph_file(Path(path.stem)))
    bound = graph.bound({"prompt", "style" if "_stylise_" in path.name else "content"})
    assert len(bound.places) == 5 and graph.sized
    classes = {node["class_type"] for node in bound.nodes.values()}
    assert "kontext" not in path.name or not any(name.startswith("USO_") for name in classes), "core nodes only"


def test_graphs_are_named_or_are_files(tmp_path: Path) -> None:
    assert len(SHIPPED_GRAPHS) == 5
    assert graph_file(tmp_path / "a") == tmp_path / "a" and graph_file(Path("a.json")) == Path("a.json")
    with pytest.raises(UserError, match=r"no graph nothing; name a file .* one of curate_destylise_kept_kontext, "):
        graph_file(Path("nothing"))
