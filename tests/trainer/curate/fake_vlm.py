"""A server that answers as an OpenAI-compatible one does, by rule, and misbehaves where it is told to."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import random
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from unittest import mock

import certifi

PARTS = ["line", "colour", "texture"]
HOSTILE = '<script>alert(1)</script>=HYPERLINK("x")\u0000\u001b[31m\u2028\u202e\'; DROP TABLE rows\r\n'
SLOW = 0.6
"""Seconds, more than clients of these tests wait."""

Reply = tuple[int, dict[str, str], bytes | list[bytes]]
"""Status, headers and body; the pieces of a list come one by one, 0.1 s apart."""


def score_of(pictures: list[bytes], part: str) -> int:
    """Return what this server thinks of two pictures."""
    return hashlib.sha256(b"|".join(pictures) + part.encode()).digest()[0] % 5


def completion(content: Any, **message: Any) -> dict[str, Any]:
    """Return a reply of the chat API."""
    choice = {"index": 0, "message": {"role": "assistant", "content": content, **message}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 1000, "completion_tokens": 100}
    return {"object": "chat.completion", "model": "judge-1 (build 7)", "choices": [choice], "usage": usage}


def right_answer(body: dict[str, Any]) -> dict[str, Any]:
    """Return what is asked for."""
    first = body["messages"][0]["content"]
    urls = [part["image_url"]["url"] for part in first if part["type"] == "image_url"]
    pictures = [base64.b64decode(url.partition("base64,")[2]) for url in urls]
    asked = body["messages"][-1]["content"]
    text = asked if isinstance(asked, str) else asked[-1]["text"]
    if '"caption"' in text:
        return {"caption": "A cat sits on a wall."}
    if '"parts"' in text:
        return {"parts": PARTS}
    if '"comparisons"' in text:
        return {"comparisons": [{"part": part, "finding": "much alike"} for part in PARTS]}
    return {"scores": [{"part": part, "score": score_of(pictures, part)} for part in PARTS]}


def _json(value: Any, status: int = 200, **headers: str) -> Reply:
    return status, headers, value if isinstance(value, bytes) else json.dumps(value).encode()


def _said(content: Any, finish: str = "stop", **message: Any) -> Reply:
    told = completion(content, **message)
    told["choices"][0]["finish_reason"] = finish
    return _json(told)


def _wrong_score(value: str) -> Callable[[dict[str, Any]], Reply]:
    rows = ", ".join(f'{{"part": "{part}", "score": {value}}}' for part in PARTS)
    return lambda body: _said(f'{{"scores": [{rows}]}}')


FAULTS: dict[str, Callable[[dict[str, Any]], Reply | None]] = {
    "timeout": lambda body: None,
    "429": lambda body: _json({"error": {"message": "slow down"}}, 429, **{"Retry-After": "0"}),
    "500": lambda body: _json(b"<html>oops</html>", 500),
    "503": lambda body: _json({"detail": "loading"}, 503),
    "cut": lambda body: (200, {"Content-Length": "9999"}, json.dumps(completion("{}")).encode()),
    "prose": lambda body: _said("Both pictures are lovely; I would say 4 out of 4."),
    "score 7": _wrong_score("7"),
    "score text": _wrong_score('"4"'),
    "NaN": _wrong_score("NaN"),
    "empty": lambda body: _said(""),
    "no choices": lambda body: _json({"choices": []}),
    "refusal": lambda body: _said(None, refusal="I cannot help with that."),
    "filter": lambda body: _said("", "content_filter"),
    "length": lambda body: _said('{"parts": ["li', "length"),
    "fault in a 200": lambda body: _json({"error": {"message": "upstream is down", "code": 502}}),
    "hostile": lambda body: _said(HOSTILE),
    "surrogate": lambda body: _json(b'{"choices": [{"message": {"content": "\\ud800"}}]}'),
    "a megabyte": lambda body: _said("x" * (1 << 20)),
}


@dataclass
class FakeVlm:
    """What the server got, and how it is to misbehave."""

    address: str = ""
    share: float = 0.0
    """Of requests that get a fault."""
    faults: list[str] = field(default_factory=lambda: list(FAULTS))
    chosen: Callable[[dict[str, Any]], Reply | None] | None = None
    """Answers in place of the rule where it gives something."""
    models: Reply = field(default_factory=lambda: _json({"data": [{"id": "judge"}, {"id": "other"}]}))
    requests: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    random: random.Random = field(default_factory=lambda: random.Random(5))
    lock: threading.Lock = field(default_factory=threading.Lock)

    def reply(self, body: dict[str, Any], headers: dict[str, str]) -> Reply | None:
        """Return what is sent, None for nothing."""
        with self.lock:
            self.requests.append(body)
            self.headers.append(headers)
            fault = self.random.choice(self.faults) if self.random.random() < self.share else ""
        chosen = self.chosen(body) if self.chosen else None
        if chosen is not None:
            return chosen
        return FAULTS[fault](body) if fault else _json(completion(json.dumps(right_answer(body))))


@contextlib.contextmanager
def one_authority() -> Iterator[None]:
    """Have clients read one certificate: to read all takes each of them 0.1 s, and nobody here speaks TLS."""
    first = certifi.contents().partition("-----END CERTIFICATE-----")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "one.pem"
        file.write_text(first[0] + first[1], encoding="utf-8")
        with mock.patch.dict(os.environ, {"SSL_CERT_FILE": str(file)}):
            yield


@contextlib.contextmanager
def fake_vlm(port: int = 0, **settings: Any) -> Iterator[FakeVlm]:
    """Serve on a port, or a free one."""
    fake = FakeVlm(**settings)

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *args: Any) -> None:
            pass

        def answer(self, reply: Reply | None) -> None:
            if reply is None:
                time.sleep(SLOW)
                self.close_connection = True
                return
            status, headers, data = reply
            pieces = [data] if isinstance(data, bytes) else data
            with contextlib.suppress(OSError):  # nobody waits any more
                self.send_response(status)
                for name, value in {"Content-Length": str(sum(map(len, pieces))), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                for piece in pieces:
                    self.wfile.write(piece)
                    time.sleep(0.1 * (len(pieces) > 1))

        def do_GET(self) -> None:
            fake.headers.append({name.lower(): value for name, value in self.headers.items()})
            self.answer(fake.models if self.path == "/v1/models" else _json({}, 404))

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self.answer(fake.reply(body, {name.lower(): value for name, value in self.headers.items()}))

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    fake.address = f"http://127.0.0.1:{server.server_port}/v1"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        with one_authority():
            yield fake
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
