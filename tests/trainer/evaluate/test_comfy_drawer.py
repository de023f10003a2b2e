"""A ComfyUI server draws a bench by any graph, and what goes wrong there is one sentence."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from comfyui_uso.cli import main
from comfyui_uso.trainer.comfy import server as comfy_server
from comfyui_uso.trainer.comfy.graph import read_graph
from comfyui_uso.trainer.evaluate.bench import read_bench, seed_of
from comfyui_uso.trainer.evaluate.drawers.comfy import comfy_drawer
from comfyui_uso.trainer.evaluate.drawers.comfy_graph import bind, graph_files
from comfyui_uso.trainer.evaluate.drawers.drawer import Inputs
from comfyui_uso.trainer.evaluate.run import draw_bench
from comfyui_uso.uso_model.errors import UserError
from PIL import Image

from .fake_comfy import GRAPH, FakeComfy, fake_comfy

Write = Callable[..., Path]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeComfy]:
    monkeypatch.setattr(comfy_server, "PATIENCE", 0.05)
    with fake_comfy() as fake:
        yield fake


def graph_file(folder: Path, graph: Any = GRAPH) -> Path:
    path = folder / "graph.json"
    path.write_text(json.dumps(graph), encoding="utf-8")
    return path


def inputs(bench: Path, server: FakeComfy, graph: Path) -> Inputs:
    return Inputs(bench, read_bench(bench)[0], server=server.address, graphs=[str(graph)])


def test_every_row_reaches_the_server_and_comes_back(
    write_small_bench: Write, server: FakeComfy, tmp_path: Path
) -> None:
    bench_folder, run = write_small_bench(rows=4, samples=2), tmp_path / "run"
    done = draw_bench(bench_folder, run, comfy_drawer(inputs(bench_folder, server, graph_file(tmp_path))))
    assert (done.drawn, done.other_size) == (8, 0) and len(server.graphs) == 8
    bench, rows, _ = read_bench(bench_folder)
    jobs = [(row, sample) for row in rows for sample in range(2)]
    for graph, (row, sample) in zip(server.graphs, jobs, strict=True):
        seed = seed_of(bench, row, sample)
        assert graph["1"]["inputs"]["text"] == row.prompt and graph["2"]["inputs"]["text"] == ""
        assert graph["7"]["inputs"]["seed"] == seed and graph["7"]["inputs"]["steps"] == 2
        assert (graph["6"]["inputs"]["width"], graph["6"]["inputs"]["height"]) == (32, 32)
        assert ("3" in graph, "4" in graph) == (row.style is not None, row.content is not None)
        muted = "content" if row.content is None else "style"
        assert muted not in graph["5"]["inputs"] and len(graph["5"]["inputs"]) == 2
        assert graph["8"]["class_type"] == "PreviewImage", "nothing piles up on the server"
        noise = np.random.default_rng(seed).integers(0, 255, (32, 32, 3), np.uint8)
        assert np.array_equal(np.asarray(Image.open(run / f"pictures/{row.id}_{sample}.png")), noise)
    assert len(server.uploads) == 2
    fed = Image.open(BytesIO(server.uploads[server.graphs[-1]["3"]["inputs"]["image"]]))
    assert fed.size == (40, 24) and fed.getpixel((0, 0)) == (255, 0, 0)


def test_a_forgotten_graph_is_queued_again(write_small_bench: Write, server: FakeComfy, tmp_path: Path) -> None:
    bench, server.forgets = write_small_bench(rows=2, samples=1), 3
    assert draw_bench(bench, tmp_path / "run", comfy_drawer(inputs(bench, server, graph_file(tmp_path)))).drawn == 2
    server.forgets = 100
    with pytest.raises(UserError, match="forgets what it is asked for"):
        draw_bench(bench, tmp_path / "other", comfy_drawer(inputs(bench, server, graph_file(tmp_path))))


@pytest.mark.parametrize(
    ("fault", "value", "told"),
    [
        ("refuses", "positive", "refuses the graph: KSampler: Required input is missing positive; mend the graph"),
        ("fails", "no memory", r"could not draw \(KSampler: no memory\).*run the same command again"),
        ("pictures", 2, "gives 2 pictures, expected 1: set its batch size to 1"),
        ("pictures", 0, "gives 0 pictures, expected 1"),
    ],
)
def test_a_fault_on_the_server_is_one_sentence(
    fault: str, value: Any, told: str, write_small_bench: Write, server: FakeComfy, tmp_path: Path
) -> None:
    bench = write_small_bench(rows=2)
    setattr(server, fault, value)
    with pytest.raises(UserError, match=told):
        draw_bench(bench, tmp_path / "run", comfy_drawer(inputs(bench, server, graph_file(tmp_path))))
    assert fault == "refuses" or server.deleted == ["p1", "p2"]


def test_a_server_that_is_not_there_is_one_sentence(
    write_small_bench: Write, server: FakeComfy, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bench, graph = write_small_bench(rows=2), graph_file(tmp_path)
    run = ["eval", "run", str(bench), str(tmp_path / "run"), "--drawer", "comfy", "--graph", str(graph)]
    assert main([*run, "--server", "http://127.0.0.1:9"]) == 2
    told = capsys.readouterr().err
    assert "127.0.0.1:9 does not answer" in told and "start it or correct --server" in told
    for wrong in ("ftp://a", "file:///etc/passwd", "http://", ""):
        assert main([*run, "--server", wrong]) == 2
        assert "expected an address such as http://127.0.0.1:8188" in capsys.readouterr().err
    assert main([*run, "--server", server.address.removeprefix("http://")]) == 0


def test_a_server_may_be_away_for_a_moment(
    write_small_bench: Write, server: FakeComfy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comfy_server, "PATIENCE", 5.0)
    bench = write_small_bench(rows=2, samples=1)
    drawer = comfy_drawer(inputs(bench, server, graph_file(tmp_path)))
    real, calls = comfy_server.urllib.request.urlopen, []

    def failing(*args: Any, **named: Any) -> Any:
        calls.append(1)
        if len(calls) in (1, 3, 4):
            raise ConnectionResetError("reset")
        return real(*args, **named)

    monkeypatch.setattr(comfy_server.urllib.request, "urlopen", failing)
    assert draw_bench(bench, tmp_path / "run", drawer).drawn == 2 and len(calls) > 5


def changed(**nodes: Any) -> dict[str, Any]:
    graph = copy.deepcopy(GRAPH)
    for id_, change in nodes.items():
        node = graph.setdefault(id_.removeprefix("n"), {"class_type": "Else", "inputs": {}})
        node.update(change)
    return graph


def test_places_are_found_by_title_by_class_or_as_they_are_named() -> None:
    found = bind(GRAPH, [], "joint_kept", Path("g.json"))
    assert {name: tuple(place) for name, place in found.places.items()} == {
        "prompt": ("1", "text"),
        "style": ("3", "image"),
        "content": ("4", "image"),
        "seed": ("7", "seed"),
        "width": ("6", "width"),
        "height": ("6", "height"),
        "steps": ("7", "steps"),
    }
    assert found.output == "8"
    titled = changed(n9={"class_type": "PrimitiveInt", "inputs": {"value": 3}, "_meta": {"title": "Seed"}})
    assert tuple(bind(titled, [], "subject", Path("g")).places["seed"]) == ("9", "value")
    named = ["prompt=Negative", "seed=KSampler:steps", "style=Subject picture:image", "output=KSampler"]
    found = bind(GRAPH, named, "style", Path("g"))
    assert found.places["prompt"].node == "2" and found.places["seed"].input == "steps"
    assert found.places["style"].node == "4" and found.output == "7"
    colon = changed(n1={"_meta": {"title": "a: prompt"}})
    assert bind(colon, ["prompt=a: prompt"], "subject", Path("g")).places["prompt"].node == "1"


@pytest.mark.parametrize(
    ("graph", "binds", "told"),
    [
        (GRAPH, ["prompt"], "expected NAME=TITLE"),
        (GRAPH, ["colour=KSampler"], "expected NAME=TITLE"),
        (GRAPH, ["prompt=Absent"], "has no node with the title Absent: give a node the title prompt"),
        (GRAPH, ["seed=KSampler:cfg"], "has no input for seed; it has seed, steps"),
        (changed(n2={"_meta": {"title": "Positive"}}), ["prompt=Positive"], "has 2 nodes with the title Positive"),
        (changed(n1={"_meta": {"title": "A"}}), [], "has no node for prompt"),
        (changed(n3={"_meta": {"title": "A"}}), [], "has no node for style"),
        (changed(n9={"class_type": "SaveImage"}), [], "has 2 nodes that may give the picture"),
        (changed(n8={"class_type": "Else"}), [], "has 0 nodes that may give the picture"),
    ],
)
def test_what_cannot_be_bound_is_said(graph: Any, binds: list[str], told: str) -> None:
    with pytest.raises(UserError, match=told):
        bind(graph, binds, "style", Path("g.json"))


def test_one_loader_does_not_take_both_pictures() -> None:
    one = changed(n3={"_meta": {"title": "Style of the subject"}}, n4={"class_type": "Else", "inputs": {}})
    both = ["style=Style of the subject", "content=Style of the subject"]
    for task, binds in (("style", []), ("joint_kept", []), ("joint_kept", both)):
        with pytest.raises(UserError, match="the node Style of the subject for both style and content: give a node"):
            bind(one, binds, task, Path("g.json"))
    assert "content" not in bind(one, both[:1], "style", Path("g.json")).places
    with pytest.raises(UserError, match="has no node for content"):
        bind(one, both[:1], "joint_kept", Path("g.json"))


def test_files_of_graphs(tmp_path: Path) -> None:
    assert graph_files(["a.json", "subject=b.json"], ["subject", "style"]) == graph_files(
        ["subject=b.json", "a.json"], ["subject", "style"]
    )
    with pytest.raises(UserError, match=r"no graph for the task style.*--graph style=FILE"):
        graph_files(["subject=b.json"], ["subject", "style"])
    for value, told in (({"nodes": []}, "Export"), ([], "no graph"), ({}, "no graph"), ({"1": {}}, "no graph")):
        with pytest.raises(UserError, match=told):
            read_graph(graph_file(tmp_path, value))
    with pytest.raises(UserError, match="is not there"):
        read_graph(tmp_path / "absent.json")
