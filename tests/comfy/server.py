"""A real ComfyUI server as a subprocess, driven over HTTP: graphs in, tensors and errors out."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
from torch import Tensor

__all__ = [
    "ComfyError",
    "ComfyServer",
    "Graph",
    "Node",
    "PromptRefused",
    "Run",
    "free_port",
    "running_server",
    "started",
]

READY_SECONDS = 300
RUN_SECONDS = 600
LOG_LINES = 60
_FLAGS = (
    "--cpu",
    "--disable-auto-launch",
    "--disable-api-nodes",  # they are the part of ComfyUI that talks to the internet
    "--database-url",
    "sqlite:///:memory:",
    # A sum in float32 is what the comparisons are about; on a CPU this is ComfyUI's own choice too.
    "--fp32-unet",
    "--fp32-vae",
)
_QUIET = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "DO_NOT_TRACK": "1",
    "PYTHONDONTWRITEBYTECODE": "1",  # the checkout stays as it was found
    "PYTHONUNBUFFERED": "1",
}


class ComfyError(Exception):
    """A node raised while the graph ran; the text is the node's own message."""

    def __init__(self, event: dict[str, Any]):
        self.message: str = event["exception_message"].strip()
        self.kind: str = event["exception_type"]
        self.node_type: str = event["node_type"]
        self.trace = "".join(event.get("traceback", ()))
        super().__init__(f"{self.node_type}: {self.kind}: {self.message}\n{self.trace}")


class PromptRefused(Exception):
    """The server did not accept the graph."""


@dataclass(frozen=True)
class Node:
    """A node of a graph; index it for an output."""

    id: str
    class_type: str

    def __getitem__(self, output: int) -> list[Any]:
        return [self.id, output]


class Graph:
    """A graph in the API format; adding the same node twice gives the same node."""

    def __init__(self) -> None:
        self.nodes: dict[str, dict[str, Any]] = {}
        self._known: dict[str, Node] = {}

    def add(self, class_type: str, **inputs: Any) -> Node:
        """Add a node; an input that is None is left out."""
        given = {name: value for name, value in inputs.items() if value is not None}
        key = json.dumps([class_type, given], sort_keys=True)
        if key not in self._known:
            node = Node(f"{len(self.nodes) + 1}", class_type)
            self.nodes[node.id] = {"class_type": class_type, "inputs": given}
            self._known[key] = node
        return self._known[key]


@dataclass(frozen=True)
class Run:
    """What came of one graph."""

    executed: tuple[str, ...]
    """Class types of the nodes that ran, in no order; the others came from the cache."""
    outputs: dict[str, dict[str, Any]]
    server: ComfyServer

    def latent(self, node: Node) -> Tensor:
        """Return the latent that a SaveLatent node wrote, `b c h w`."""
        return self.tensors(node, "latents")["latent_tensor"]

    def tensors(self, node: Node, key: str = "tensors") -> dict[str, Tensor]:
        """Return the tensors of the one safetensors file that an output node wrote."""
        return safetensors.torch.load(self.server.view(self.outputs[node.id][key][0]))

    def pictures(self, node: Node) -> list[bytes]:
        """Return the PNG files of a PreviewImage or SaveImage node."""
        return [self.server.view(item) for item in self.outputs[node.id]["images"]]


class ComfyServer:
    """Talk to one running server."""

    def __init__(self, address: str, process: subprocess.Popen[bytes], base: Path):
        self.address = address
        self.process = process
        self.base = base
        self.log = base / "server.log"

    def get(self, path: str) -> bytes:
        """Return the body of a GET."""
        with urllib.request.urlopen(f"{self.address}{path}", timeout=60) as answer:
            return answer.read()

    def get_json(self, path: str) -> Any:
        """Return the JSON of a GET."""
        return json.loads(self.get(path))

    def post(self, path: str, content: Any) -> Any:
        """Post JSON and return the JSON of the answer, if any.

        Raises:
            PromptRefused: for status 400, with the server's reasons.
        """
        request = urllib.request.Request(
            f"{self.address}{path}", json.dumps(content).encode(), {"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                body = answer.read()
        except urllib.error.HTTPError as error:
            raise PromptRefused(error.read().decode()) from error
        return json.loads(body) if body else None

    def upload(self, name: str, data: bytes) -> str:
        """Put a picture into the server's input folder, as the page does, and return its name there."""
        boundary = uuid.uuid4().hex
        fields = [
            (b'name="overwrite"', b"true"),
            (f'name="image"; filename="{name}"'.encode(), data),
        ]
        parts = b"".join(
            b"--%s\r\nContent-Disposition: form-data; %s\r\n\r\n%s\r\n" % (boundary.encode(), head, body)
            for head, body in fields
        )
        request = urllib.request.Request(
            f"{self.address}/upload/image",
            parts + b"--%s--\r\n" % boundary.encode(),
            {"Content-Type": f"multipart/form-data; boundary={boundary}"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["name"]

    def view(self, item: dict[str, str]) -> bytes:
        """Return a file that a node wrote."""
        query = {name: item[name] for name in ("filename", "subfolder", "type")}
        return self.get(f"/view?{urllib.parse.urlencode(query)}")

    def start(self, graph: Graph | dict[str, Any]) -> str:
        """Queue a graph and return its id.

        Raises:
            PromptRefused: when the graph does not fit the nodes.
        """
        nodes = graph.nodes if isinstance(graph, Graph) else graph
        answer = self.post("/prompt", {"prompt": nodes, "client_id": "tests"})
        if answer.get("node_errors"):  # the graph goes on without the refused output nodes
            self.interrupt()
            raise PromptRefused(json.dumps(answer["node_errors"]))
        return answer["prompt_id"]

    def finish(self, prompt: str) -> dict[str, Any]:
        """Wait for a queued graph and return its history.

        Raises:
            TimeoutError: after ten minutes; the graph is interrupted.
            RuntimeError: when the server has ended.
        """
        deadline = time.monotonic() + RUN_SECONDS
        while time.monotonic() < deadline:
            history = self.get_json(f"/history/{prompt}")
            if prompt in history:
                return history[prompt]
            if self.process.poll() is not None:
                raise RuntimeError(f"ComfyUI ended with {self.process.returncode}\n{self.log_tail()}")
            time.sleep(0.02)
        self.interrupt()
        raise TimeoutError(f"no end after {RUN_SECONDS} s\n{self.log_tail()}")

    def run(self, graph: Graph | dict[str, Any]) -> Run:
        """Run a graph to its end.

        Raises:
            PromptRefused: when the server refuses the graph.
            ComfyError: when a node raises.
        """
        nodes = graph.nodes if isinstance(graph, Graph) else graph
        done = self.finish(self.start(graph))
        cached: set[str] = set()
        for name, event in done["status"]["messages"]:
            if name == "execution_error":
                raise ComfyError(event)
            if name == "execution_cached":
                cached.update(event["nodes"])
        if done["status"]["status_str"] != "success":
            raise RuntimeError(f"the graph did not finish: {done['status']}")
        executed = tuple(node["class_type"] for id_, node in nodes.items() if id_ not in cached)
        return Run(executed, done["outputs"], self)

    def interrupt(self) -> None:
        """Stop what is running and forget what waits."""
        self.post("/queue", {"clear": True})
        self.post("/interrupt", {})

    def log_tail(self) -> str:
        """Return the last lines of the server's log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-LOG_LINES:])


@contextlib.contextmanager
def running_server(comfy: Path, base: Path, *flags: str) -> Iterator[ComfyServer]:
    """Start ComfyUI on a free port with `base` as its folder for everything; end it on leaving.

    Raises:
        RuntimeError: when it does not get ready, with the end of its log.
    """
    server = started(comfy, base, free_port(), *flags)
    process = server.process
    try:
        wait_until_ready(server)
        yield server
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def started(comfy: Path, base: Path, port: int, *flags: str) -> ComfyServer:
    """Start ComfyUI, which is not ready yet; what it says is added to its log."""
    command = [sys.executable, str(comfy / "main.py"), "--port", str(port), "--base-directory", str(base)]
    env = {**os.environ, **_QUIET, "COMFY_TESTS_PARENT": str(os.getpid())}
    with (base / "server.log").open("ab") as log:
        process = subprocess.Popen([*command, *_FLAGS, *flags], cwd=base, env=env, stdout=log, stderr=subprocess.STDOUT)
    return ComfyServer(f"http://127.0.0.1:{port}", process, base)


def wait_until_ready(server: ComfyServer) -> None:
    """Wait until a server that was started answers.

    Raises:
        RuntimeError: it ends, or takes too long.
    """
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        if server.process.poll() is not None:
            break
        with contextlib.suppress(OSError):
            server.get("/system_stats")
            return
        time.sleep(0.2)
    raise RuntimeError(f"ComfyUI did not get ready\n{server.log_tail()}")
