"""What ComfyUI's page shows of the nodes: tooltips, descriptions, search words and help pages."""

from __future__ import annotations

from typing import Any

import pytest

from .conftest import HERE, PACK
from .server import ComfyServer

IDS = {
    "USO_LoadModels": ("MODEL", "MODEL_PATCH", "CLIP_VISION"),
    "USO_LoadMini": ("MODEL", "CLIP", "VAE", "CLIP_VISION", "MODEL_PATCH"),
    "USO_Example": ("IMAGE", "IMAGE", "STRING"),
    "USO_StyleReference": ("CONDITIONING",),
    "USO_SubjectReference": ("CONDITIONING", "LATENT"),
    "USO_EncodeStyle": ("USO_FEATURES", "IMAGE"),
    "USO_ProjectStyle": ("USO_STYLE",),
    "USO_EncodeContent": ("USO_CONTENT", "LATENT", "IMAGE"),
    "USO_MixStyles": ("USO_STYLE",),
    "USO_SaveStyle": ("USO_STYLE",),
    "USO_LoadStyle": ("USO_STYLE", "IMAGE"),
    "USO_Apply": ("MODEL", "CONDITIONING", "CONDITIONING"),
    "USO_ReuseReferences": ("MODEL",),
    "USO_Scheduler": ("SIGMAS",),
    "USO_Sampler": ("LATENT",),
    "USO_Score": ("IMAGE", "FLOAT", "INT", "STRING"),
    "USO_SaveTriplet": ("STRING", "INT", "STRING"),
    "USO_LoadTriplet": ("IMAGE", "IMAGE", "IMAGE", "STRING", "STRING", "STRING", "INT"),
    "USO_TrainingSet": ("USO_TRAINING_SET", "IMAGE", "STRING"),
    "USO_Train": ("*", "*", "*", "*", "IMAGE", "STRING", "STRING"),
}
"""Frozen: saved graphs hold these names."""

SEARCHED = {"style transfer", "style reference", "ip adapter", "subject", "identity"}


@pytest.fixture(scope="module")
def nodes(comfy: ComfyServer) -> dict[str, Any]:
    info = comfy.get_json("/object_info")
    return {name: node for name, node in info.items() if node["python_module"].endswith(PACK)}


def shown(node: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the inputs that a node shows; ComfyUI adds hidden ones to nodes that save."""
    return [inputs for group, inputs in node["input"].items() if group != "hidden"]


def test_ids_and_outputs(nodes: dict[str, Any]) -> None:
    for name, outputs in IDS.items():
        assert tuple(nodes[name]["output"]) == outputs
    assert all(name.startswith("USO_") for name in nodes)
    assert {node["category"].partition("/")[0] for node in nodes.values()} == {"USO"}


def test_every_input_and_output_is_explained(nodes: dict[str, Any]) -> None:
    for name, node in nodes.items():
        assert node["description"].strip(), name
        assert node["search_aliases"], name
        for inputs in shown(node):
            for key, (_, *options) in inputs.items():
                assert options and options[0].get("tooltip", "").strip(), f"{name}.{key}"
        assert len(node["output_tooltips"]) == len(node["output"]), name
        assert all(node["output_tooltips"]), name


def test_search_words(nodes: dict[str, Any]) -> None:
    words = {word.lower() for node in nodes.values() for word in node["search_aliases"]}
    assert words >= SEARCHED


def test_every_node_has_a_help_page(comfy: ComfyServer, nodes: dict[str, Any]) -> None:
    for name, node in nodes.items():
        page = comfy.get(f"/extensions/{PACK}/docs/{name}.md").decode()
        assert len(page) > 200, name
        unexplained = [key for inputs in shown(node) for key in inputs if key not in page.lower()]
        assert not unexplained, f"{name}.md says nothing about {unexplained}"


def test_templates_are_offered(comfy: ComfyServer) -> None:
    """The workflows appear in the template browser, each with a picture."""
    offered = comfy.get_json("/api/workflow_templates").get(PACK, [])
    files = sorted(path.stem for path in (HERE.parents[1] / "workflows").glob("*.json"))
    assert sorted(offered) == files
