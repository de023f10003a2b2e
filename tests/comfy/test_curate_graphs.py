"""The graphs of curation on real servers: every node and input exists, and those over USO-mini draw."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from comfyui_uso.mini.example_pictures import examples
from comfyui_uso.trainer.comfy.server import Server
from comfyui_uso.trainer.curate.experts.open import open_expert
from comfyui_uso.trainer.curate.experts.titles import SHIPPED
from comfyui_uso.trainer.curate.recipe import ExpertSettings
from comfyui_uso.trainer.curate.steps import Request
from comfyui_uso.uso_model.errors import UserError
from PIL import Image

from .api_format import unfit
from .mini_graphs import PAIR
from .server import ComfyServer

GRAPHS = sorted(SHIPPED.glob("*.json"))


@pytest.mark.parametrize("path", GRAPHS, ids=lambda path: path.stem)
def test_a_graph_uses_nodes_and_inputs_that_exist(comfy: ComfyServer, path: Path) -> None:
    graph, info = json.loads(path.read_text(encoding="utf-8")), comfy.get_json("/object_info")
    assert unfit(graph, info) == []
    for node in graph.values():
        for value in node["inputs"].values():
            if isinstance(value, list):
                assert value[1] < len(info[graph[value[0]]["class_type"]]["output"])


def draw(comfy: ComfyServer, graph: str, request: Request) -> np.ndarray:
    settings = {"uso:seed.steps": 6} if graph.endswith("_mini") else {}
    expert = open_expert("artist", ExpertSettings(graph=Path(graph), servers=[comfy.address], settings=settings))
    return np.asarray(expert(request))


def test_graphs_over_the_miniature_draw(comfy: ComfyServer) -> None:
    side = 96
    target: Image.Image = examples()[PAIR].style
    style = Request("a blue lighthouse on a white floor", 2**48 - 1, side, side, style=target)
    content = Request("", 5, side, side, content=target)
    for graph, request in (("curate_stylise_mini", style), ("curate_destylise_mini", content)):
        picture = draw(comfy, graph, request)
        assert picture.shape == (side, side, 3) and picture.std() > 10
        assert np.array_equal(picture, draw(comfy, graph, request))


def test_what_a_server_lacks_is_one_sentence(comfy: ComfyServer, tmp_path: Path) -> None:
    request = Request("x", 1, 64, 64, content=examples()[PAIR].style)
    with pytest.raises(
        UserError, match=r"ComfyUI 0\.\S+ at http\S+ refuses the graph: .*Value not in list (unet|vae|clip)_"
    ):
        draw(comfy, "curate_destylise_kept_kontext", request)
    graph = json.loads((SHIPPED / "curate_destylise_mini.json").read_text())
    graph["1"]["class_type"] = "NodeOfAnotherVersion"
    path = tmp_path / "graph.json"
    path.write_text(json.dumps(graph))
    told = r"at http\S+ refuses the graph: NodeOfAnotherVersion \(uso mini\): Node 'uso mini' not found"
    with pytest.raises(UserError, match=told):
        draw(comfy, str(path), request)


def test_a_picture_that_a_server_has_is_not_written_again(comfy: ComfyServer) -> None:
    """A graph may be reading it; one that is not whole is left aside."""
    picture = Image.new("RGB", (8, 8), "teal")
    server = Server(comfy.address, 60.0)
    stored = comfy.base / "temp" / "same.png"
    assert server.upload("same.png", picture, "temp") == "same.png [temp]"
    before = stored.stat()
    assert server.upload("same.png", picture, "temp") == "same.png [temp]"
    assert (stored.stat().st_mtime_ns, stored.stat().st_ino) == (before.st_mtime_ns, before.st_ino)
    stored.write_bytes(stored.read_bytes()[:20])
    other = server.upload("same.png", picture, "temp")
    assert other != "same.png [temp]" and other.endswith(" [temp]")
    with Image.open(comfy.base / "temp" / other.removesuffix(" [temp]")) as found:
        assert found.convert("RGB").tobytes() == picture.tobytes()
