"""Training in the page: the seed that stays, a browser that is closed meanwhile, and the template opened again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from .browser import CHROMIUM, open_page
from .conftest import COMFY, HERE, server_folder
from .layout import fit, show
from .server import ComfyServer, running_server

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium, chromium-browser or google-chrome is on the PATH"),
]

(TEMPLATE,) = (HERE.parents[1] / "workflows").glob("USO 13 *.json")
QUICK = "monitor.samples=1\nmonitor.sample_steps=2\nloop.batch_size=1"
STEPS = 3


@pytest.fixture
def server() -> Iterator[ComfyServer]:
    """Start a server that has nothing but the pack."""
    with server_folder("train-page") as base, running_server(COMFY, base) as server:
        yield server


def quick_template() -> dict[str, Any]:
    """Return the template with a training of a few steps."""
    graph = json.loads(TEMPLATE.read_text(encoding="utf-8"))
    (train,) = (node for node in graph["nodes"] if node["type"] == "USO_Train")
    named = {**train["widgets_values_named"], "steps": STEPS, "save_every": STEPS, "size": 64, "settings": QUICK}
    train["widgets_values"], train["widgets_values_named"] = list(named.values()), named
    return graph


def press_run(page: Any) -> None:
    page.keyboard.press("Escape")  # the page greets a new user with its own templates
    show(page, quick_template())
    page.get_by_role("button", name="Run", exact=True).first.click()


def test_a_closed_browser_harms_nothing(server: ComfyServer) -> None:
    with open_page(server.address) as page:
        press_run(page)
        page.wait_for_function("async () => (await (await fetch('/queue')).json()).queue_running.length > 0")
        (running,) = server.get_json("/queue")["queue_running"]
    first = server.finish(running[1])
    assert first["status"]["status_str"] == "success", first["status"]
    log = server.base / "output/uso_training/runs/linocut/log.jsonl"
    written = log.stat().st_mtime_ns
    with open_page(server.address) as page:
        press_run(page)
        fit(page)
        # What was drawn while nobody looked stands in the nodes, and nothing is trained again.
        page.wait_for_function("() => app.graph._nodes.filter(node => node.imgs?.length).length === 4")
        page.wait_for_function("async () => Object.keys(await (await fetch('/history')).json()).length === 2")
    seeds = [_seed(entry["prompt"][2]) for entry in server.get_json("/history").values()]
    assert seeds == [-1, -1], "another seed would begin another run"
    assert log.stat().st_mtime_ns == written
    assert not [path for path in (server.base / "input").rglob("*") if path.is_file()]
    shutil.rmtree(server.base / "models/loras/uso")
    again = server.run(first["prompt"][2])  # the file is gone, and comes back without training
    assert "USO_Train" in again.executed
    assert list((server.base / "models/loras/uso").glob("linocut-*.safetensors"))


def _seed(prompt: dict[str, Any]) -> int:
    return next(node["inputs"]["seed"] for node in prompt.values() if node["class_type"] == "USO_Train")
