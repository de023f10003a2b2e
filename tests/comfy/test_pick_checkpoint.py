"""A style LoRA of sixteen photographs, picked from the template's grid of checkpoints and strengths, over HTTP."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from .api_format import api_format
from .conftest import HERE
from .mini_graphs import Mini
from .photographs import copy_photographs
from .server import ComfyServer

pytestmark = pytest.mark.long

(TEMPLATE,) = (HERE.parents[1] / "workflows").glob("USO 14 *.json")
SIDE, GAP, COLUMNS, ROWS = 128, 4, 4, 3
QUICK = "monitor.samples=1\nmonitor.sample_steps=2\nmonitor.validation_every=0\nloop.batch_size=1\nloop.warmup=0"


def test_a_checkpoint_of_sixteen_photographs_is_picked(comfy: ComfyServer) -> None:
    copy_photographs(comfy.base / "input/photographs")
    graph = api_format(json.loads(TEMPLATE.read_text(encoding="utf-8")), comfy.get_json("/object_info"))
    made, train, sampler, shown = (
        next(id_ for id_, node in graph.items() if node["class_type"] == kind)
        for kind in ("USO_TrainingSet", "USO_Train", "USO_Sampler", "PreviewImage")
    )
    graph[made]["inputs"]["folder"] = "input/photographs"
    graph[train]["inputs"].update(name="photographs", steps=8, save_every=2, settings=QUICK)
    graph[sampler]["inputs"]["steps"] = 3
    done = comfy.run(graph)
    (item,) = done.outputs[shown]["images"]
    grid = Image.open(BytesIO(comfy.view(item))).convert("RGB")
    cells = _cells(grid)
    assert len(cells) == COLUMNS * ROWS
    # No two are alike: every checkpoint was read, at every strength.
    assert len({cell.tobytes() for cell in cells}) == len(cells)
    loras = sorted(path.name for path in Path(comfy.base, "models/loras/uso").glob("photographs-0*.safetensors"))
    own = [name for name in loras if name.removesuffix(".safetensors")[-1].isdigit()]
    assert [int(name.removesuffix(".safetensors").rpartition("-")[2]) for name in own] == [2, 4, 6, 8]
    # The one that was picked draws in another graph, under its name.
    mini = Mini(comfy)
    picked = mini.add("LoraLoaderModelOnly", model=mini.models[0], lora_name=f"uso/{own[1]}", strength_model=1.0)
    drawn, plain = mini.draw(model=picked[0]), mini.draw()
    again = comfy.run(mini)
    assert not again.latent(drawn).equal(again.latent(plain))


def _cells(grid: Image.Image) -> list[np.ndarray]:
    step = SIDE + GAP
    assert grid.size == (COLUMNS * step - GAP, ROWS * step - GAP)
    corners = [(column * step, row * step) for row in range(ROWS) for column in range(COLUMNS)]
    return [np.asarray(grid.crop((x, y, x + SIDE, y + SIDE))) for x, y in corners]
