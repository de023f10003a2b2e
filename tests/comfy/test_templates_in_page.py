"""The templates as a new user meets them: an empty input folder, no models, and a press on Run."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from PIL import Image

from .browser import CHROMIUM, READY, nodes_2, open_page
from .conftest import COMFY, HERE, server_folder
from .layout import covered, show
from .server import RUN_SECONDS, ComfyServer, running_server

WORKFLOWS = sorted((HERE.parents[1] / "workflows").glob("*.json"))
MINI = [path for path in WORKFLOWS if "(no download)" in path.stem]
FLUX = [path for path in WORKFLOWS if "FLUX" in path.stem]
IN_NODES_2 = [path for path in MINI if path.stem.startswith(("USO 1 ", "USO 5 ", "USO 11 ", "USO 12 ", "USO 13 "))]
SHOWING = ("PreviewImage", "USO_SaveTriplet", "USO_TrainingSet", "USO_Train")
"""Nodes with a picture under them."""

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium, chromium-browser or google-chrome is on the PATH"),
]


class Fresh(NamedTuple):
    """A server that has nothing but the pack, and its page."""

    server: ComfyServer
    page: Any


@pytest.fixture(scope="module")
def fresh() -> Iterator[Fresh]:
    with server_folder("fresh") as base, running_server(COMFY, base) as server, open_page(server.address) as page:
        page.keyboard.press("Escape")  # the page greets a new user with its own templates
        yield Fresh(server, page)


@pytest.fixture(scope="module")
def untouched(fresh: Fresh) -> Any:
    """Return a page that has run nothing: it would show the pictures of earlier runs on nodes of the same numbers."""
    fresh.page.reload(wait_until="domcontentloaded")
    fresh.page.wait_for_function(READY)
    fresh.page.wait_for_timeout(3000)
    return fresh.page


def read(path: Path) -> dict[str, Any]:
    """Read a workflow."""
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("path", "new"),
    [*((path, False) for path in MINI), *((path, True) for path in IN_NODES_2)],
    ids=lambda value: value.stem if isinstance(value, Path) else "nodes 2.0" if value else "classic",
)
def test_run_draws_from_an_empty_input_folder(fresh: Fresh, path: Path, new: bool) -> None:
    server, page = fresh
    nodes_2(page, new)
    show(page, read(path))
    before = set(server.get_json("/history"))
    page.get_by_role("button", name="Run", exact=True).first.click()
    deadline = time.monotonic() + RUN_SECONDS
    while not (done := set(server.get_json("/history")) - before):
        assert time.monotonic() < deadline, server.log_tail()
        time.sleep(0.5)
    (history,) = (server.get_json(f"/history/{prompt}")[prompt] for prompt in done)
    assert history["status"]["status_str"] == "success", history["status"]
    shown = {node: output["images"] for node, output in history["outputs"].items() if output.get("images")}
    assert len(shown) == sum(node["type"] in SHOWING for node in read(path)["nodes"])
    for item in (item for pictures in shown.values() for item in pictures):
        low, high = Image.open(BytesIO(server.view(item))).convert("L").getextrema()
        assert high - low > 30, "a flat picture"
    assert not [file for file in (server.base / "input").rglob("*") if file.is_file()]
    for folder in ("models/uso_styles", "output/uso_sets"):
        shutil.rmtree(server.base / folder, ignore_errors=True)


@pytest.mark.parametrize("path", FLUX, ids=lambda path: path.stem)
def test_the_page_offers_every_missing_model(fresh: Fresh, path: Path) -> None:
    page = fresh.page
    nodes_2(page, False)
    show(page, read(path))
    files = {model["name"] for node in read(path)["nodes"] for model in node["properties"].get("models", ())}
    page.get_by_text("View details").first.click()
    page.get_by_text("Missing Models").first.wait_for()
    page.wait_for_timeout(500)
    assert {word for word in page.inner_text("body").split() if word.endswith(".safetensors")} >= files
    assert len(files) == (4 if "(checkpoint)" in path.stem else 7)
    # The page asks for no file in the place of one that comes through a link, as the LoRA of a training does.
    linked = sum(node["type"] == "USO_Train" for node in read(path)["nodes"])
    assert page.get_by_text("Download", exact=True).count() == len(files) - linked


@pytest.mark.parametrize("new", [False, True], ids=["classic", "nodes 2.0"])
@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_nothing_is_covered(untouched: Any, path: Path, new: bool) -> None:
    for advanced in (False, True):
        assert covered(untouched, read(path), new, advanced) == []
