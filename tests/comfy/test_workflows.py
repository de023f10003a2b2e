"""The workflows that need no download run from beginning to end."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from .api_format import api_format
from .conftest import HERE
from .server import ComfyServer, Run

ROOT = HERE.parents[1]
WORKFLOWS = sorted((ROOT / "workflows").glob("*.json"))
MINI = [path for path in WORKFLOWS if "(no download)" in path.stem]
GRIDS = ("USO 7 ", "USO 10 ")
_PICTURES = (".png", ".jpg", ".jpeg", ".webp")


@pytest.mark.parametrize(
    "path",
    # A grid takes as long as all others together; the page's tests run them, too.
    [pytest.param(path, marks=pytest.mark.long) if path.stem.startswith(GRIDS) else path for path in MINI],
    ids=[path.stem for path in MINI],
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
    for node in graph.values():
        known = info[node["class_type"]]["input"]
        given = {name.partition(".")[0] for name in node["inputs"]}  # inputs that grow are named `inputs.input0`
        wanted = set(known.get("required", {})) - given
        strange = given - {name for group in known.values() for name in group}
        assert not wanted and not strange, f"{node['class_type']}: without {wanted}, with {strange}"
    assert any(path.with_suffix(suffix).is_file() for suffix in _PICTURES), "no picture beside it"


def _pictures(run: Run, item: dict[str, list[dict[str, str]]]) -> list[bytes]:
    return [run.server.view(entry) for entry in item.get("images", [])]
