"""What runs again, and what does not."""

from __future__ import annotations

import pytest

from .graphs import Tiny
from .server import ComfyServer, Node

ENCODERS = {"USO_EncodeStyle", "USO_ProjectStyle", "USO_EncodeContent"}


def build(graph: Tiny, seed: int, prompt: int = 40, picture: int = 41) -> Node:
    node = graph.apply(
        graph.lora(graph.model()),
        graph.prompt(prompt),
        style=graph.style(graph.picture(picture)),
        content=graph.content(graph.picture(42)),
    )
    return graph.ksampler(node[0], node[1], seed=seed)


@pytest.fixture(scope="module", autouse=True)
def _first_run(comfy: ComfyServer) -> None:
    graph = Tiny()
    build(graph, seed=100)
    assert set(comfy.run(graph).executed) >= ENCODERS | {"USO_Apply", "KSampler"}


def test_the_same_graph_runs_nothing_of_ours(comfy: ComfyServer, tiny: Tiny) -> None:
    build(tiny, seed=100)
    assert not set(comfy.run(tiny).executed)


def test_another_seed_runs_the_sampler_only(comfy: ComfyServer, tiny: Tiny) -> None:
    build(tiny, seed=101)
    assert set(comfy.run(tiny).executed) == {"KSampler", "SaveLatent"}


def test_another_prompt_keeps_the_references(comfy: ComfyServer, tiny: Tiny) -> None:
    build(tiny, seed=100, prompt=43)
    executed = set(comfy.run(tiny).executed)
    assert executed == {"TestPrompt", "USO_Apply", "KSampler", "SaveLatent"}


def test_another_style_keeps_the_content(comfy: ComfyServer, tiny: Tiny) -> None:
    build(tiny, seed=100, picture=44)
    executed = set(comfy.run(tiny).executed)
    assert executed >= {"USO_EncodeStyle", "USO_ProjectStyle", "USO_Apply"}
    assert "USO_EncodeContent" not in executed
    assert "UNETLoader" not in executed
