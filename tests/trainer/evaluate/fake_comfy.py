"""A server that answers as ComfyUI does and draws noise."""

from __future__ import annotations

import contextlib
import json
import threading
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
        self.uploads: dict[str, bytes] = {}
        self.history: dict[str, Any] = {}
        self.deleted: list[str] = []
        self.forgets = 0
        """So many of the next graphs."""
        self.refuses: str | None = None
        self.fails: str | None = None
        self.pictures = 1
        self.address = ""

    def submit(self, graph: dict[str, Any]) -> dict[str, Any]:
        self.graphs.append(graph)
        name = f"p{len(self.graphs)}"
        if self.refuses:
            errors = {"7": {"errors": [{"message": "Required input is missing", "details": self.refuses}]}}
            return {"error": {"message": "Prompt outputs failed validation"}, "node_errors": errors}
        if self.forgets:
            self.forgets -= 1
            return {"prompt_id": name, "node_errors": {}}
        messages: list[Any] = []
        if self.fails:
            messages.append(["execution_error", {"node_type": "KSampler", "exception_message": self.fails}])
        images = [{"filename": f"{name}.png", "subfolder": "", "type": "temp"}] * self.pictures
        status = {"status_str": "error" if self.fails else "success", "messages": messages}
        self.history[name] = {"status": status, "outputs": {"8": {"images": images}}}
        return {"prompt_id": name, "node_errors": {}}

    def view(self, filename: str) -> bytes:
        graph = self.graphs[int(filename[1:].partition(".")[0]) - 1]
        size, seed = graph["6"]["inputs"], graph["7"]["inputs"]["seed"]
        noise = np.random.default_rng(seed).integers(0, 255, (size["height"], size["width"], 3), np.uint8)
        data = BytesIO()
        Image.fromarray(noise).save(data, "PNG")
        return data.getvalue()


@contextlib.contextmanager
def fake_comfy() -> Iterator[FakeComfy]:
    """Serve on a free port."""
    fake = FakeComfy()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *args: Any) -> None:
            pass

        def answer(self, value: Any, code: int = 200) -> None:
            body = value if isinstance(value, bytes) else json.dumps(value).encode()
            self.send_response(code)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self) -> None:
            parts = urllib.parse.urlsplit(self.path)
            if parts.path == "/queue":
                self.answer({"queue_running": [], "queue_pending": []})
            elif parts.path.startswith("/history/"):
                name = parts.path.rpartition("/")[2]
                self.answer({name: fake.history[name]} if name in fake.history else {})
            elif parts.path == "/view":
                self.answer(fake.view(urllib.parse.parse_qs(parts.query)["filename"][0]))
            else:
                self.answer({}, 404)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path == "/upload/image":
                name = body.partition(b'filename="')[2].partition(b'"')[0].decode()
                fake.uploads[name] = body.rpartition(b"\r\n\r\n")[2].rpartition(b"\r\n--")[0]
                self.answer({"name": name, "subfolder": "", "type": "input"})
            elif self.path == "/prompt":
                told = fake.submit(json.loads(body)["prompt"])
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
