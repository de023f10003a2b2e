"""A server that answers as ComfyUI does and draws noise."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
import urllib.parse
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image

GRAPH: dict[str, Any] = {
    "1": {"class_type": "CLIPTextEncode", "inputs": {"text": "x"}, "_meta": {"title": "Positive"}},
    "2": {"class_type": "CLIPTextEncode", "inputs": {"text": ""}, "_meta": {"title": "Negative"}},
    "3": {"class_type": "LoadImage", "inputs": {"image": "a.png"}, "_meta": {"title": "Style picture"}},
    "4": {"class_type": "LoadImage", "inputs": {"image": "b.png"}, "_meta": {"title": "Subject picture"}},
    "5": {"class_type": "USO_Apply", "inputs": {"positive": ["1", 0], "style": ["3", 0], "content": ["4", 0]}},
    "6": {"class_type": "EmptySD3LatentImage", "inputs": {"width": 64, "height": 64, "batch_size": 1}},
    "7": {"class_type": "KSampler", "inputs": {"seed": 1, "steps": 4, "latent": ["6", 0], "positive": ["5", 0]}},
    "8": {"class_type": "SaveImage", "inputs": {"images": ["7", 0], "filename_prefix": "uso"}},
}


class FakeComfy:
    """What the server knows, and how it is to misbehave."""

    def __init__(self) -> None:
        self.graphs: list[dict[str, Any]] = []
        self.ids: list[str] = []
        """Of the graphs."""
        self.uploads: dict[str, bytes] = {}
        self.history: dict[str, Any] = {}
        self.deleted: list[str] = []
        self.forgets = 0
        """So many of the next graphs."""
        self.refuses: str | None = None
        self.fails: str | None = None
        self.kind = "RuntimeError"
        """Of what fails."""
        self.interrupts = 0
        """So many of the next graphs are stopped."""
        self.away = False
        """Whether connections are cut."""
        self.code = 0
        """Status of all answers, where one is set."""
        self.page: bytes | None = None
        """What a proxy answers in its place."""
        self.loses = 0
        """So many of the next pictures."""
        self.cuts = 0
        """So many of the next pictures, or of the next errors, break off half-way."""
        self.black = False
        self.pictures = 1
        self.enlarges = 0
        """Pixels by which pictures are too wide."""
        self.seconds = 0.0
        """Of a graph; they are drawn one after another."""
        self.version = "0.33.0"
        self.address = ""
        self.busy = threading.Lock()

    def submit(self, graph: dict[str, Any], name: str | None = None) -> dict[str, Any]:
        self.graphs.append(graph)
        name = name or f"p{len(self.graphs)}"
        self.ids.append(name)
        if self.refuses:
            errors = {"7": {"errors": [{"message": "Required input is missing", "details": self.refuses}]}}
            return {"error": {"message": "Prompt outputs failed validation"}, "node_errors": errors}
        if self.forgets:
            self.forgets -= 1
            return {"prompt_id": name, "node_errors": {}}
        messages: list[Any] = []
        if self.interrupts:
            self.interrupts -= 1
            messages.append(["execution_interrupted", {"node_id": "7"}])
        elif self.fails:
            event = {"node_type": "KSampler", "exception_message": self.fails, "exception_type": self.kind}
            messages.append(["execution_error", event])
        image = {"filename": f"{name}.png", "subfolder": "", "type": "temp"}
        status = {"status_str": "error" if messages else "success", "messages": messages}
        self.history[name] = {
            "status": status,
            "outputs": {} if messages else {"8": {"images": [image] * self.pictures}},
        }
        return {"prompt_id": name, "node_errors": {}}

    def view(self, filename: str) -> bytes | None:
        if self.loses:
            self.loses -= 1
            return None
        graph = self.graphs[self.ids.index(filename.partition(".")[0])]
        size, seed = graph["6"]["inputs"], graph["7"]["inputs"]["seed"]
        shape = (size["height"], size["width"] + self.enlarges, 3)
        noise = np.random.default_rng(seed).integers(0, 255, shape, np.uint8)
        data = BytesIO()
        Image.fromarray(noise * (not self.black)).save(data, "PNG")
        return data.getvalue()

    def restart(self) -> None:
        """Forget what a server forgets that is started again."""
        self.history.clear()
        self.uploads.clear()


@contextlib.contextmanager
def fake_comfy() -> Iterator[FakeComfy]:
    """Serve on a free port."""
    fake = FakeComfy()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *args: Any) -> None:
            pass

        def answer(self, value: Any, code: int = 200) -> None:
            body = value if isinstance(value, bytes) else json.dumps(value).encode()
            cut = fake.cuts > 0 and (code >= 400 or self.path.startswith("/view"))
            fake.cuts -= cut
            self.send_response(code)
            if cut and code >= 400:
                self.send_header("Transfer-Encoding", "chunked")
                body = b"9\r\n{"
            else:
                self.send_header("Content-Length", str(len(body)))
                body = body[: len(body) // 2] if cut else body
            self.end_headers()
            self.wfile.write(body)

        def misbehaves(self) -> bool:
            if fake.away:
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
            elif fake.code:
                self.answer({}, fake.code)
            elif fake.page:
                self.answer(fake.page)
            return fake.away or bool(fake.code or fake.page)

        def do_GET(self) -> None:
            if self.misbehaves():
                return
            parts = urllib.parse.urlsplit(self.path)
            if parts.path == "/queue":
                self.answer({"queue_running": [], "queue_pending": []})
            elif parts.path.startswith("/history/"):
                name = parts.path.rpartition("/")[2]
                self.answer({name: fake.history[name]} if name in fake.history else {})
            elif parts.path == "/view":
                picture = fake.view(urllib.parse.parse_qs(parts.query)["filename"][0])
                self.answer(picture or b"", 200 if picture else 404)
            elif parts.path == "/system_stats":
                self.answer({"system": {"comfyui_version": fake.version}})
            else:
                self.answer({}, 404)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.misbehaves():
                return
            if self.path == "/upload/image":
                name = body.partition(b'filename="')[2].partition(b'"')[0].decode()
                fake.uploads[name] = body.rpartition(b"\r\n\r\n")[2].rpartition(b"\r\n--")[0]
                self.answer({"name": name, "subfolder": "", "type": "input"})
            elif self.path == "/prompt":
                asked = json.loads(body)
                with fake.busy:
                    time.sleep(fake.seconds)
                told = fake.submit(asked["prompt"], asked.get("prompt_id"))
                self.answer(told, 400 if "error" in told else 200)
            else:
                fake.deleted += json.loads(body)["delete"]
                self.answer(b"")

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    fake.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield fake
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
