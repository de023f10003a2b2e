"""Graphs and a style file of version 0.1.0: they load, and draw the same latents to the last bit.

`tests/data/old` holds what that version has saved: a workflow of the page, a graph in the API format, a style file, and
the latents that its nodes gave for the two.
"""

from __future__ import annotations

import json
import shutil
from typing import Any

import pytest
import safetensors
import torch

from .api_format import api_format
from .conftest import HERE
from .server import ComfyServer, Node

OLD = HERE.parent / "data/old"
STYLE = "ink of 0.1.0.safetensors"
EXAMPLES = HERE.parents[1] / "mini/examples"
GRAPHS = ("workflow.json", "graph_api.json")


def machine(comfy: ComfyServer) -> dict[str, str]:
    """Return what the bits depend on besides the code; the number of threads is not among it."""
    version = comfy.get_json("/system_stats")["system"]["pytorch_version"]
    return {"torch": version, "capability": torch.backends.cpu.get_cpu_capability()}


def put_files(comfy: ComfyServer) -> None:
    """Give the server the style file and the pictures that the graphs name."""
    folder = comfy.base / "models/uso_styles"
    folder.mkdir(exist_ok=True)
    shutil.copy(OLD / STYLE, folder)
    for name in ("5_style", "6_style", "7_content", "8_content"):
        comfy.upload(f"{name}.png", (EXAMPLES / f"{name}.png").read_bytes())


def drawn(comfy: ComfyServer, name: str) -> torch.Tensor:
    """Return the latents of every sampler of a graph, one after the other."""
    graph: dict[str, Any] = json.loads((OLD / name).read_text(encoding="utf-8"))
    if "links" in graph:
        graph = api_format(graph, comfy.get_json("/object_info"))
    samplers = [number for number, node in graph.items() if node["class_type"] == "USO_Sampler"]
    kept = {number: node for number, node in graph.items() if node["class_type"] != "PreviewImage"}
    saved = [Node(f"save{number}", "SaveLatent") for number in samplers]
    for number, node in zip(samplers, saved, strict=True):
        inputs = {"samples": [number, 0], "filename_prefix": "latents/old"}
        kept[node.id] = {"class_type": "SaveLatent", "inputs": inputs}
    run = comfy.run(kept)
    return torch.cat([run.latent(node) for node in saved])


@pytest.mark.parametrize("name", GRAPHS)
def test_an_old_graph_draws_the_same_latents(name: str, comfy: ComfyServer) -> None:
    put_files(comfy)
    with safetensors.safe_open(OLD / "latents.safetensors", "pt") as file:
        expected, recorded = file.get_tensor(name), file.metadata()
    found = drawn(comfy, name)
    assert expected.std() > 0.1 and torch.allclose(found, expected, atol=1e-3)
    if machine(comfy) == recorded:
        assert torch.equal(found, expected)
