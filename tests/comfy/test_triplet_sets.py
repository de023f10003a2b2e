"""Sets of triplets on the real server: saved once, read again, whole after any kill, and what training reads."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from comfyui_uso.mini.example_pictures import example, example_names
from comfyui_uso.trainer.curate.ledger import Ledger
from comfyui_uso.trainer.data.manifest import Row, read_manifest
from PIL import Image, ImageChops

from .conftest import COMFY, make_server_folder, server_folder
from .server import ComfyError, ComfyServer, Graph, running_server

NAMES = ("owl, blueprint", "house, cartoon")
KILLS = 3
AT_ONCE = 16
"""Pictures of a batch in the tests that kill."""
SHORT = ("loop.steps=3", "loop.batch_size=2", "monitor.samples_every=0", "monitor.validation_every=0")


def saving(name: str, set_name: str, **inputs: Any) -> Graph:
    """Return a graph that saves the pictures of a bundled pair, reads the newest triplet and shows it."""
    graph = Graph()
    pair = graph.add("USO_Example", name=name)
    given = {"target": pair[0], "style": pair[0], "content": pair[1], "prompt": pair[2], **inputs}
    saved = graph.add("USO_SaveTriplet", set_name=set_name, **given)
    loaded = graph.add("USO_LoadTriplet", set_name=saved[0], index=-1)
    for output in (0, 2):
        graph.add("PreviewImage", images=loaded[output])
    graph.add("PreviewAny", source=saved[1])
    return graph


def rows(base: Path, set_name: str) -> list[Row]:
    """Read a set of a server's output folder."""
    return list(read_manifest(base / "output/uso_sets" / set_name / "manifest.jsonl", split=None))


def test_a_set_grows_by_what_is_new_and_comes_back(comfy: ComfyServer) -> None:
    for name, count in ((NAMES[0], 1), (NAMES[0], 1), (NAMES[1], 2), (NAMES[0], 2)):
        graph = saving(name, "grown")
        run = comfy.run(graph)
        assert len(rows(comfy.base, "grown")) == count
    nodes = {node["class_type"]: id_ for id_, node in graph.nodes.items()}
    assert len(run.outputs[nodes["USO_SaveTriplet"]]["images"]) == 2  # target and style are one picture here
    pair, (row, _) = example(example_names()[NAMES[0]]), rows(comfy.base, "grown")
    assert (row.prompt, len(row.style), len(row.contents)) == (pair.prompt, 1, 1)
    for path, picture in ((row.target, pair.style), (row.contents[0], pair.content)):
        assert ImageChops.difference(Image.open(path), picture.convert("RGB")).getbbox() is None


def test_a_set_that_was_taken_away_is_filled_again(comfy: ComfyServer) -> None:
    graph = saving(NAMES[0], "gone")
    for _ in range(2):
        comfy.run(graph)
        assert len(rows(comfy.base, "gone")) == 1
        shutil.rmtree(comfy.base / "output/uso_sets/gone")


def test_a_set_that_grew_elsewhere_is_read_again(comfy: ComfyServer) -> None:
    graph = Graph()
    loaded = graph.add("USO_LoadTriplet", set_name="elsewhere", index=-1)
    graph.add("PreviewAny", source=loaded[6])
    with pytest.raises(ComfyError, match=r"Got the set 'elsewhere', expected one of output/uso_sets"):
        comfy.run(graph)
    for count, name in enumerate(NAMES, start=1):
        comfy.run(saving(name, "elsewhere"))
        assert comfy.run(graph).outputs["2"]["text"] == [str(count)]


def test_names_that_lead_outside_are_one_sentence(comfy: ComfyServer) -> None:
    before = sorted(comfy.base.iterdir())
    for name in ("../../up", "C:\\x", "CON", "x" * 300):
        with pytest.raises(ComfyError, match="for a set"):
            comfy.run(saving(NAMES[0], name))
    assert sorted(comfy.base.iterdir()) == before


@pytest.fixture
def base() -> Iterator[Path]:
    """Make the folders of a server that a test may kill."""
    with server_folder("sets") as base:
        yield base


def noise(seed: int, count: int = AT_ONCE) -> Graph:
    """Return a graph that saves a batch of pictures of noise, each of them new."""
    graph = Graph()
    grey = graph.add("EmptyImage", width=128, height=128, batch_size=count, color=0x808080)
    noisy = graph.add("ImageAddNoise", image=grey[0], seed=seed, strength=0.3)
    style = graph.add("USO_Example", name=NAMES[0])
    graph.add("USO_SaveTriplet", target=noisy[0], style=style[0], content=style[1], set_name="killed")
    return graph


@pytest.mark.long
def test_a_set_is_whole_after_kills(base: Path) -> None:
    folder = base / "output/uso_sets/killed"
    for seed in range(KILLS):
        with running_server(COMFY, base) as server:
            before = len(list(folder.glob("pictures/*/*.png")))
            server.start(noise(seed))
            # Somewhere in the batch, each time at another place: between pictures, lines and the manifest.
            while len(list(folder.glob("pictures/*/*.png"))) < before + 3 + seed * AT_ONCE // KILLS:
                time.sleep(0.001)
            server.process.kill()
            server.process.wait()
    assert 0 < len(Ledger(folder)) < KILLS * AT_ONCE, "no kill came in time"
    with running_server(COMFY, base) as server:
        for seed in range(KILLS):
            server.run(noise(seed))
            server.run(noise(seed))
    found = rows(base, "killed")
    ledger = Ledger(folder)
    assert len(found) == len({row.id for row in found}) == KILLS * AT_ONCE == len(ledger)
    assert all(ledger.pictures.proves(stored) for entry in ledger.entries() for stored in entry.pictures.values())


@pytest.mark.long
def test_check_and_train_read_a_set_as_it_is(comfy: ComfyServer, tmp_path: Path) -> None:
    for name in NAMES:
        comfy.run(saving(name, "trained"))
    folder = comfy.base / "output/uso_sets/trained"
    assert re.search(r"manifest\.jsonl +2 ", uso("check", folder / "manifest.jsonl")), "two rows"
    uso("train", "toy", f"data={folder}", f"loop.run_dir={tmp_path / 'run'}", f"out={tmp_path / 'out'}", *SHORT)
    assert list((tmp_path / "out").glob("*.safetensors"))


@pytest.mark.long
def test_two_servers_save_to_one_set(base: Path) -> None:
    with ExitStack() as both:
        servers = []
        for name in ("one", "two"):
            own = make_server_folder(base / name)
            servers.append(both.enter_context(running_server(COMFY, own, "--output-directory", str(base / "output"))))
        seeds = ([0, 1, 2, 3], [3, 2, 5, 4])
        threads = [
            threading.Thread(target=lambda s=server, n=numbers: [s.run(noise(seed)) for seed in n])
            for server, numbers in zip(servers, seeds, strict=True)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    found = rows(base, "killed")
    assert len(found) == len({row.id for row in found}) == 6 * AT_ONCE
    assert len(list((base / "output/uso_sets/killed/journal").iterdir())) == 2


def uso(*words: object) -> str:
    """Run the command `uso` and return what it says."""
    command = [sys.executable, "-m", "comfyui_uso", *map(str, words)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=300, check=False, env={**os.environ, "HF_HUB_OFFLINE": "1"}
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
