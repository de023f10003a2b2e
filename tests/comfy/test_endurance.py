"""A long evening on one server: many graphs in turn, interrupts at any moment, two clients at once."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch

from .mini_graphs import OTHER, Mini, Ref
from .server import ComfyServer, Node

pytestmark = pytest.mark.long

RUNS, INTERRUPTS = 50, 12
GROWTH_MB = 24
"""Fifty runs may leave this much behind: ComfyUI's own history of results, and the allocator's scatter."""


def _two_styles(graph: Mini) -> dict[str, Any]:
    weights = {f"weight_{number}": 1 / number for number in range(1, 9)}
    mixed = graph.add("USO_MixStyles", style_1=graph.style(), style_2=graph.style(OTHER), mode="average", **weights)
    return {"style": mixed[0]}


KINDS: dict[str, Callable[[Mini], dict[str, Any]]] = {
    "style": lambda graph: {"style": graph.style()},
    "subject": lambda graph: {"content": graph.content()},
    "two styles": _two_styles,
    "region": lambda graph: {"style": graph.style(), "style_region": graph.mask(left=True)},
    "both": lambda graph: {"style": graph.style(), "content": graph.content(), "style_end": 0.6},
    "blocks": lambda graph: {"style": graph.style(), "style_blocks": "d0:0.5", "content": graph.content()},
    "area": lambda graph: {"style": graph.style()},
    "without references": lambda graph: {},
    "simple": lambda graph: {},
}


def _simple(graph: Mini, text: Ref) -> Ref:
    """Return a prompt with both references by the simple nodes."""
    pictures = [graph.picture("style", OTHER), graph.picture("content", OTHER)]
    _, _, vae, *encoders = (graph.models[output] for output in range(5))
    style = dict(zip(("clip_vision", "projector"), encoders, strict=True))
    styled = graph.add("USO_StyleReference", conditioning=text, image=pictures[0], strength=0.8, **style)[0]
    return graph.add("USO_SubjectReference", conditioning=styled, vae=vae, image=pictures[1], strength=1.0)[0]


def drawn(graph: Mini, kind: str, seed: int, cfg: float = 1.0, steps: int = 2) -> Node:
    """Return SaveLatent of a picture of 64 pixels."""
    text: list[Ref] = [graph.add("CLIPTextEncode", clip=graph.models[1], text=words)[0] for words in ("an owl", "")]
    references = {"content_on_negative": False, **KINDS[kind](graph)}
    node = graph.add("USO_Apply", model=graph.models[0], positive=text[0], negative=text[1], **references)
    positive = _simple(graph, text[0]) if kind == "simple" else node[1]
    if kind == "area":
        sizes = {"width": 0.5, "height": 1.0, "x": 0.25, "y": 0.0, "strength": 1.0}
        positive = graph.add("ConditioningSetAreaPercentage", conditioning=positive, **sizes)[0]
    sampled = graph.add(
        "KSampler",
        model=node[0],
        positive=positive,
        negative=node[2],
        latent_image=graph.add("EmptySD3LatentImage", width=64, height=64, batch_size=1)[0],
        seed=seed,
        steps=steps,
        cfg=cfg,
        sampler_name="euler",
        scheduler="simple",
        denoise=1.0,
    )[0]
    return graph.add("SaveLatent", samples=sampled, filename_prefix="latents/endurance")


def run(comfy: ComfyServer, kind: str, seed: int, cfg: float = 1.0, steps: int = 2) -> torch.Tensor:
    graph = Mini(comfy)
    node = drawn(graph, kind, seed, cfg, steps)
    return comfy.run(graph).latent(node)


def freed_mb(comfy: ComfyServer) -> float:
    """Return the server's resident memory in MB after it has let go of all models and results."""
    comfy.post("/free", {"unload_models": True, "free_memory": True})
    time.sleep(3)  # the worker looks for the request once a second
    status = Path(f"/proc/{comfy.process.pid}/status").read_text(encoding="utf-8")
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert found
    return int(found[1]) / 1024


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="reads memory from /proc")
def test_fifty_runs_of_different_graphs_leave_nothing_behind(comfy: ComfyServer) -> None:
    kinds = list(KINDS)

    def evening(first: int, runs: int) -> float:
        for number in range(first, first + runs):
            run(comfy, kinds[number % len(kinds)], seed=number, cfg=1.0 + 2 * (number // len(kinds) % 2))
        return freed_mb(comfy)

    evening(0, 2 * len(kinds))
    before = evening(100, 2 * len(kinds))
    after = evening(200, RUNS)
    assert after - before < GROWTH_MB, f"{before:.0f} MB before, {after:.0f} MB after"


def test_an_interrupted_graph_draws_the_same_afterwards(comfy: ComfyServer) -> None:
    """At any moment: while encoders run, between steps, or when all is done already."""
    generator = random.Random(0)
    expected = {kind: run(comfy, kind, seed=5, cfg=3.0, steps=8) for kind in KINDS}
    stopped = 0
    for number in range(INTERRUPTS):
        kind = generator.choice(list(KINDS))
        comfy.post("/free", {"unload_models": True, "free_memory": True})
        graph = Mini(comfy)
        drawn(graph, kind, 5, 3.0, 8)
        prompt = comfy.start(graph)
        time.sleep(generator.uniform(0, 2.5))
        comfy.interrupt()
        while any(comfy.get_json("/queue").values()):
            time.sleep(0.05)
        done = comfy.get_json(f"/history/{prompt}").get(prompt)  # one that has not begun leaves no history
        stopped += done is None or done["status"]["status_str"] != "success"
        assert torch.equal(run(comfy, kind, seed=5, cfg=3.0, steps=8), expected[kind]), (number, kind)
    assert stopped > 0


def test_two_clients_get_their_own_results(comfy: ComfyServer) -> None:
    jobs = [
        [("style", 11), ("both", 12), ("blocks", 13), ("area", 14)],
        [("subject", 21), ("region", 22), ("area", 23)],
    ]

    def client(jobs: list[tuple[str, int]]) -> list[torch.Tensor]:
        return [run(comfy, kind, seed, cfg=3.0) for kind, seed in jobs]

    expected = [client(some) for some in jobs]
    comfy.post("/free", {"unload_models": True, "free_memory": True})
    with ThreadPoolExecutor(2) as both:
        got = list(both.map(client, jobs))
    for mine, alone in zip(got, expected, strict=True):
        assert all(torch.equal(*pair) for pair in zip(mine, alone, strict=True))
