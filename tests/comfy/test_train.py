"""Training in a real server over HTTP: names that loaders take, Cancel, a killed server, and what is left of memory."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from comfyui_uso.mini.example_pictures import TRAINING_PICTURES

from .conftest import COMFY, server_folder
from .mini_graphs import Mini
from .server import ComfyError, ComfyServer, Graph, Node, running_server

pytestmark = pytest.mark.long

QUICK = (
    "loop.batch_size=1",
    "loop.warmup=0",
    "loop.log_every=1",
    "monitor.validation_every=0",
    "monitor.samples=1",
    "monitor.sample_steps=2",
)
LONG = 100_000
"""Steps of a run that is to be stopped."""
ENOUGH, SETTLED = 200, 3
"""Steps of a longer run, and seconds in which a graph ends after its trainer."""
FOR_A_RUN, FOR_A_STEP = 3.0, 0.02
"""Processor time that ComfyUI may take: seconds for a run, and for a step this share of the trainer's."""
TRIES = 3
MEMORY = 300e6
"""Bytes that the server may have grown by: modules that the first training imports."""
PATIENCE = 300


@pytest.fixture(scope="module")
def base() -> Iterator[Path]:
    """Make the folders of a server that a test may kill, with five pictures of the bundled ones to train on."""
    with server_folder("train") as base:
        for name in ("models/loras", "models/model_patches", "input/five"):
            (base / name).mkdir()
        for path in sorted(TRAINING_PICTURES.iterdir())[:10]:
            shutil.copy(path, base / "input/five")
        (base / "input/five/broken.png").write_bytes(b"no picture")
        yield base


def train(graph: Graph, name: str, steps: int, save_every: int = 1, **inputs: Any) -> Node:
    """Add a set of the five pictures and its training to a graph."""
    made = graph.add("USO_TrainingSet", folder="input/five", name="five")
    given = {"recipe": "toy", "rank": 4, "size": 64, "settings": "\n".join(QUICK), **inputs}
    return graph.add("USO_Train", training_set=made[0], name=name, steps=steps, save_every=save_every, **given)


def training(name: str, steps: int, **inputs: Any) -> Graph:
    graph = Graph()
    node = train(graph, name, steps, **inputs)
    graph.add("PreviewAny", source=node[6])
    graph.add("PreviewImage", images=node[4])
    return graph


def run_folder(base: Path, name: str) -> Path:
    return base / "output/uso_training/runs" / name


def checkpoints(base: Path, name: str) -> list[int]:
    return sorted(int(path.name.rpartition("-")[2]) for path in run_folder(base, name).glob("checkpoint-???????"))


def wait_for(what: Callable[[], Any], server: ComfyServer | None = None) -> Any:
    """Wait until something is so, and return it."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if found := what():
            return found
        time.sleep(0.05)
    raise TimeoutError("" if server is None else server.log_tail())


def resident(pid: int) -> int:
    """Return the bytes of RAM that a process has for itself."""
    status = Path(f"/proc/{pid}/status").read_text()
    return 1024 * int(next(line for line in status.splitlines() if line.startswith("RssAnon")).split()[1])


def processor_seconds(server: ComfyServer) -> tuple[float, float]:
    """Return the processor time of a server, and that of the processes that it has started and waited for."""
    times = psutil.Process(server.process.pid).cpu_times()
    return times.user + times.system, times.children_user + times.children_system


def trainer(base: Path, name: str) -> int:
    """Return the number of the process that trains a run."""
    return int(json.loads((run_folder(base, name) / ".lock.json").read_text())["pid"])


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_from_a_folder_to_a_drawing(base: Path) -> None:
    """The name of what was trained goes through links into stock and own loaders, in the same graph."""
    with running_server(COMFY, base) as server:
        before = resident(server.process.pid)
        graph = Mini(server)
        node = train(graph, "five", 2)
        alone = graph.add("LoraLoaderModelOnly", model=graph.models[0], lora_name=node[0], strength_model=1.0)
        each = graph.add("LoraLoaderModelOnly", model=graph.models[0], lora_name=node[3], strength_model=1.0)
        whole = graph.add("USO_LoadMini", lora_strength=1.0, lora=node[1], projector=node[2])
        drawn = [graph.draw(model=one[0], style=graph.style()) for one in (alone, each, whole)]
        table, sheets = graph.add("PreviewAny", source=node[6]), graph.add("PreviewImage", images=node[4])
        done = server.run(graph)
        assert "uso/five-0000001.safetensors" in done.outputs[table.id]["text"][0]
        assert len(done.pictures(sheets)) == 3 == len(done.outputs[node.id]["images"]), "before the first step, too"
        assert all(done.outputs[one.id]["latents"] for one in drawn)
        assert len(done.outputs[drawn[1].id]["latents"]) == 2, "once for each checkpoint"
        made = next(id_ for id_, one in graph.nodes.items() if one["class_type"] == "USO_TrainingSet")
        assert len(done.outputs[made]["images"]) == 1
        # A second training of the same server leaves nothing behind.
        server.run(training("memory", 1))
        assert resident(server.process.pid) - before < MEMORY
        assert not [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if _is_trainer(pid, base)]


def test_nearly_all_of_the_work_is_the_trainers(base: Path) -> None:
    with running_server(COMFY, base) as server:
        server.run(training("first", 1))  # which imports what the node needs
        for attempt in range(TRIES):  # what else the machine does only adds to it
            few, many = (work(server, base, f"steps-{steps}-{attempt}", steps) for steps in (1, ENOUGH))
            share = (many[0] - few[0]) / (many[1] - few[1])
            if few[0] < FOR_A_RUN and share < FOR_A_STEP:
                return
        raise AssertionError(f"ComfyUI took {few[0]:.2f} s for a run, and {share:.2%} of the trainer's time for a step")


def work(server: ComfyServer, base: Path, name: str, steps: int) -> tuple[float, float]:
    """Return the processor time of a run in ComfyUI, and in the processes that it has started."""
    before = processor_seconds(server)
    server.start(training(name, steps, save_every=steps))
    # Not by asking the server, whose answers would be most of its work.
    wait_for(lambda: steps in checkpoints(base, name), server)
    wait_for(lambda: not psutil.Process(server.process.pid).children(), server)
    time.sleep(SETTLED)
    after = processor_seconds(server)
    return after[0] - before[0], after[1] - before[1]


def test_cancel_and_queue_again(base: Path) -> None:
    with running_server(COMFY, base) as server:
        prompt = server.start(training("cancelled", LONG, save_every=LONG))
        wait_for(lambda: began(base, "cancelled"), server)
        server.post("/interrupt", {})
        ended = server.finish(prompt)
        assert any(name == "execution_interrupted" for name, _ in ended["status"]["messages"]), ended["status"]
        (stopped,) = checkpoints(base, "cancelled")
        assert 0 < stopped < LONG
        first, second = (server.start(training("cancelled", stopped + more)) for more in (1, 2))
        assert [server.finish(one)["status"]["status_str"] for one in (first, second)] == ["success", "success"]
        assert checkpoints(base, "cancelled")[-1] == stopped + 2
        with pytest.raises(ComfyError, match=r"cancelled began with other settings: .*lora.rank was 4"):
            server.run(training("cancelled", stopped + 3, rank=2))
        server.run(training("cancelled", 1, rank=2, if_changed="new name"))
        assert checkpoints(base, "cancelled-2") == [1]


def test_a_set_that_was_deleted_is_made_again(base: Path) -> None:
    graph = Graph()
    graph.add("USO_TrainingSet", folder="input/five", name="gone")
    manifest = base / "output/uso_training/sets/gone/manifest.jsonl"
    with running_server(COMFY, base) as server:
        ran = []
        for deleted in (False, False, True, False):
            if deleted:
                shutil.rmtree(manifest.parent)
            ran.append("USO_TrainingSet" in server.run(graph).executed)
            assert manifest.is_file()
        assert ran == [True, False, True, False]


def test_a_killed_server_and_queue_again(base: Path) -> None:
    with running_server(COMFY, base) as server:
        server.start(training("killed", LONG, save_every=LONG))
        wait_for(lambda: began(base, "killed"), server)
        pid = trainer(base, "killed")
        assert runs(pid)
        server.process.kill()
        wait_for(lambda: not runs(pid))
        (killed,) = checkpoints(base, "killed")
        assert 0 < killed < LONG
    with running_server(COMFY, base) as server:
        server.run(training("killed", killed + 1))
        assert checkpoints(base, "killed")[-1] == killed + 1


def began(base: Path, name: str) -> bool:
    """Whether a run has taken a step."""
    log = run_folder(base, name) / "log.jsonl"
    return log.is_file() and '"loss"' in log.read_text(encoding="utf-8")


def _is_trainer(pid: int, base: Path) -> bool:
    try:
        return str(base).encode() in Path(f"/proc/{pid}/cmdline").read_bytes() and runs(pid) and _says_train(pid)
    except OSError:
        return False


def _says_train(pid: int) -> bool:
    return b"\0train\0--progress\0" in Path(f"/proc/{pid}/cmdline").read_bytes()
