"""Memory after many runs is what it was before."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from .graphs import Tiny
from .server import ComfyServer

WARM, RUNS = 12, 50
GROWTH_MB = 24
"""Fifty runs may leave this much behind: ComfyUI's own history of results, and the allocator's scatter."""


def resident_mb(comfy: ComfyServer) -> float:
    """Return the resident memory of the server's process."""
    status = Path(f"/proc/{comfy.process.pid}/status").read_text(encoding="utf-8")
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert found
    return int(found[1]) / 1024


def run(comfy: ComfyServer, number: int) -> None:
    """Queue a graph that differs from all before in seed, dials and references."""
    graph = Tiny()
    node = graph.apply(
        graph.lora(graph.model()),
        graph.prompt(seed=number),
        style=graph.style(graph.picture(number % 5)),
        content=graph.content(graph.picture(number % 3)) if number % 2 else None,
        style_strength=0.5 + number / 100,
        style_blocks="d0:0.5" if number % 4 == 0 else "",
        style_end=0.6 if number % 3 == 0 else 1.0,
    )
    graph.ksampler(node[0], node[1], cfg=3.0, batch=1 + number % 2, seed=number)
    comfy.run(graph)


@pytest.mark.long
@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="reads memory from /proc")
def test_fifty_runs_leave_nothing_behind(comfy: ComfyServer) -> None:
    for number in range(WARM):
        run(comfy, number)
    before = resident_mb(comfy)
    for number in range(WARM, WARM + RUNS):
        run(comfy, number)
    assert resident_mb(comfy) - before < GROWTH_MB
