"""The workflows that need no download run from beginning to end."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from .api_format import api_format, unfit
from .conftest import HERE
from .server import ComfyServer, Run

ROOT = HERE.parents[1]
WORKFLOWS = sorted((ROOT / "workflows").glob("*.json"))
MINI = [path for path in WORKFLOWS if "(no download)" in path.stem]
SLOW = ("USO 7 ", "USO 10 ", "USO 13 ", "USO 14 ")
_PICTURES = (".png", ".jpg", ".jpeg", ".webp")


@pytest.mark.parametrize(
    "path",
    # A grid or a training takes as long as all others together: those are run in the page alone.
    [path for path in MINI if not path.stem.startswith(SLOW)],
    ids=lambda path: path.stem,
)
def test_mini_workflow_draws(comfy: ComfyServer, path: Path) -> None:
    info = comfy.get_json("/object_info")
    graph = api_format(json.loads(path.read_text(encoding="utf-8")), info)
    run = comfy.run(graph)
    pictures = [data for item in run.outputs.values() for data in _pictures(run, item)]
    assert pictures
    for data in pictures:
        low, high = Image.open(BytesIO(data)).convert("L").getextrema()
        assert high - low > 30, "a flat picture"


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflow_uses_nodes_that_exist(comfy: ComfyServer, path: Path) -> None:
    info = comfy.get_json("/object_info")
    graph = api_format(json.loads(path.read_text(encoding="utf-8")), info)
    assert unfit(graph, info) == []
    assert any(path.with_suffix(suffix).is_file() for suffix in _PICTURES), "no picture beside it"


def _pictures(run: Run, item: dict[str, list[dict[str, str]]]) -> list[bytes]:
    return [run.server.view(entry) for entry in item.get("images", [])]
