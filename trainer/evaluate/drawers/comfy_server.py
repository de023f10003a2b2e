"""A ComfyUI server over HTTP: pictures and graphs in, pictures out."""

from __future__ import annotations

import contextlib
import http.client
import json
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Iterator
from io import BytesIO
from typing import Any

from PIL import Image

from ....uso_model.errors import UserError
from ....uso_model.images import MOST_PIXELS
from ....uso_model.untrusted import parse_json, quoted

__all__ = ["Server"]

SECONDS = 60
"""For one answer."""
PATIENCE = 120.0
"""Seconds for which a server that has answered before is waited for: a restart takes about half a minute."""
SUBMISSIONS = 5
"""Of a graph that the server forgets."""
_PAUSE, _LONGEST = 0.05, 1.0
_LARGEST = 1 << 30
_AGAIN = "run the same command again, it goes on where it stopped"

_UNREACHED = (OSError, http.client.HTTPException)


class _Unanswered(UserError):
    """The server is not there."""


class Server:
    """Talks to one server."""

    def __init__(self, address: str, patience: float = PATIENCE):
        """Make sure that a ComfyUI answers.

        Raises:
            UserError: no address of the web, or nobody answers.
        """
        parts = urllib.parse.urlsplit(address if "://" in address else f"http://{address}")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UserError(f"got --server {quoted(address)}, expected an address such as http://127.0.0.1:8188")
        self.address = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
        self.patience = patience
        self._client = uuid.uuid4().hex
        if not isinstance(self._json("/queue"), dict):
            raise UserError(f"what answers at {self.address} is no ComfyUI; correct --server")

    def upload(self, name: str, picture: Image.Image) -> str:
        """Put a picture into the server's input folder and return its name there."""
        data = BytesIO()
        picture.save(data, format="PNG")
        boundary = uuid.uuid4().hex
        fields = (('name="overwrite"', b"true"), (f'name="image"; filename="{name}"', data.getvalue()))
        parts = [
            f"--{boundary}\r\nContent-Disposition: form-data; {head}\r\n\r\n".encode() + body + b"\r\n"
            for head, body in fields
        ]
        body = b"".join(parts) + f"--{boundary}--\r\n".encode()
        answer = self._patiently("/upload/image", body, f"multipart/form-data; boundary={boundary}")
        stored, folder = answer.get("name"), answer.get("subfolder")
        if not isinstance(stored, str):
            raise UserError(f"ComfyUI at {self.address} did not keep a picture ({quoted(answer)}); look at its log")
        return f"{folder}/{stored}" if folder else stored

    def submit(self, graph: dict[str, Any]) -> str:
        """Queue a graph and return its id.

        Raises:
            UserError: the server refuses it.
        """
        body = json.dumps({"prompt": graph, "client_id": self._client}).encode()
        answer = self._patiently("/prompt", body)
        prompt = answer.get("prompt_id")
        if answer.get("node_errors") or not isinstance(prompt, str):
            if isinstance(prompt, str):
                self.forget([prompt])
            raise UserError(f"ComfyUI refuses the graph: {_refusal(answer, graph)}")
        return prompt

    def finish(self, prompt: str, graph: dict[str, Any]) -> dict[str, Any]:
        """Wait for a queued graph, queue it again where the server has forgotten it, and return its outputs.

        Raises:
            UserError: a node failed, it was interrupted, or the server went away.
        """
        for _ in range(SUBMISSIONS):
            entry = self._ended(prompt)
            if entry is not None:
                return _outputs(entry)
            prompt = self.submit(graph)
        raise UserError(f"ComfyUI at {self.address} forgets what it is asked for; look at its log")

    def picture(self, item: dict[str, Any]) -> Image.Image:
        """Return a picture that a node wrote."""
        query = {name: str(item.get(name, "")) for name in ("filename", "subfolder", "type")}
        data = self._waiting(f"/view?{urllib.parse.urlencode(query)}")
        try:
            with Image.open(BytesIO(data), formats=("PNG", "JPEG", "WEBP")) as opened:
                if opened.width * opened.height > MOST_PIXELS:
                    raise ValueError("it is too large")
                return opened.convert("RGB")
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            raise UserError(f"ComfyUI gave a picture that cannot be read ({quoted(error)}); {_AGAIN}") from error

    def forget(self, prompts: list[str]) -> None:
        """Take graphs out of the queue, if the server can still be asked."""
        with contextlib.suppress(UserError):
            self._open("/queue", json.dumps({"delete": prompts}).encode())

    def _ended(self, prompt: str) -> dict[str, Any] | None:
        """Return the history of a graph once there is one, None where the server knows nothing of it."""
        pause = _PAUSE
        while True:
            # First the queue: a graph that leaves it in between is in the history then.
            queue = parse_json(self._waiting("/queue"), self.address)
            history = parse_json(self._waiting(f"/history/{urllib.parse.quote(prompt)}"), self.address)
            if isinstance(history, dict) and isinstance(history.get(prompt), dict):
                return history[prompt]
            waiting = [*queue.get("queue_running", []), *queue.get("queue_pending", [])]
            if not any(isinstance(one, list) and len(one) > 1 and one[1] == prompt for one in waiting):
                return None
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST)

    def _patiently(self, path: str, body: bytes, kind: str = "application/json") -> dict[str, Any]:
        answer = parse_json(self._waiting(path, body, kind), self.address)
        return answer if isinstance(answer, dict) else {}

    def _json(self, path: str) -> Any:
        return parse_json(self._open(path), f"the answer of {self.address}")

    def _waiting(self, path: str, body: bytes | None = None, kind: str = "application/json") -> bytes:
        """Return an answer, also of a server that is away for a moment."""
        for pause in _pauses(self.patience):
            try:
                return self._open(path, body, kind)
            except _Unanswered:
                time.sleep(pause)
        return self._open(path, body, kind)

    def _open(self, path: str, body: bytes | None = None, kind: str = "application/json") -> bytes:
        request = urllib.request.Request(self.address + path, body, {"Content-Type": kind})
        try:
            with urllib.request.urlopen(request, timeout=SECONDS) as answer:
                return answer.read(_LARGEST)
        except urllib.error.HTTPError as error:
            with error:
                told = error.read(1 << 20)
            if path == "/prompt" and error.code == 400:
                return told  # says what is wrong with the graph
            raise UserError(f"ComfyUI at {self.address} answers {path.partition('?')[0]} with {error.code}") from error
        except _UNREACHED as error:
            reason = getattr(error, "reason", None) or error
            raise _Unanswered(
                f"ComfyUI at {self.address} does not answer ({quoted(reason)}); start it or correct --server, and "
                f"{_AGAIN}"
            ) from error


def _pauses(seconds: float) -> Iterator[float]:
    """Yield growing pauses that come to so many seconds."""
    pause, left = 0.1, seconds
    while left > 0:
        yield min(pause, left)
        left -= pause
        pause = min(2 * pause, 5.0)


def _refusal(answer: dict[str, Any], graph: dict[str, Any]) -> str:
    """Return the reasons of a refused graph in one sentence."""
    found = []
    errors = answer.get("node_errors")
    for node, told in (errors if isinstance(errors, dict) else {}).items():
        name = graph.get(node, {}).get("class_type", node)
        for one in told.get("errors", []) if isinstance(told, dict) else []:
            found.append(f"{name}: {one.get('message', '')} {one.get('details', '')}".strip())
    error = answer.get("error")
    whole = error.get("message") if isinstance(error, dict) else error
    return quoted("; ".join(found) or whole or answer) + "; mend the graph, or name another for this task with --graph"


def _outputs(entry: dict[str, Any]) -> dict[str, Any]:
    """Return the outputs of a graph that ended well."""
    status = entry.get("status")
    status = status if isinstance(status, dict) else {}
    for message in status.get("messages") or []:
        kind, event = message if isinstance(message, list) and len(message) == 2 else (None, None)
        if kind == "execution_error" and isinstance(event, dict):
            told = f"{event.get('node_type')}: {str(event.get('exception_message')).strip()}"
            raise UserError(f"ComfyUI could not draw ({quoted(told)}); mend the graph or the server, and {_AGAIN}")
        if kind == "execution_interrupted":
            raise UserError(f"the graph was interrupted on the server; {_AGAIN}")
    outputs = entry.get("outputs")
    return outputs if isinstance(outputs, dict) else {}
