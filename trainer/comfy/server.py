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

from ...uso_model.errors import UserError
from ...uso_model.images import MOST_PIXELS
from ...uso_model.untrusted import parse_json, quoted
from .answers import AGAIN, Lost, Refused, Unanswered, outputs_of, refusal
from .graph import Nodes

__all__ = ["Server"]

SECONDS = 60
"""For one answer."""
PATIENCE = 120.0
"""Seconds for which a server that has answered before is waited for: a restart takes about half a minute."""
SUBMISSIONS = 5
"""Of a graph that the server forgets."""
_PAUSE, _LONGEST = 0.05, 1.0
_LARGEST = 1 << 30
_LATER = (408, 429)
"""Status codes of an answer that a later try may not get, besides those from 500 on."""

_UNREACHED = (OSError, http.client.HTTPException)


class Server:
    """Talks to one server."""

    def __init__(self, address: str, patience: float = PATIENCE, option: str = "--server"):
        """Take an address; nothing is asked yet.

        Args:
            address: such as `http://127.0.0.1:8188`.
            patience: seconds for which it is waited for where it does not answer.
            option: that named it, for messages.

        Raises:
            UserError: no address of the web.
        """
        parts = _split(address)
        if parts is None:
            raise UserError(f"got {option} {quoted(address)}, expected an address such as http://127.0.0.1:8188")
        if parts.username is not None:  # messages and run.yaml would show it
            raise UserError(f"got {option} with a name or password in it, expected an address such as http://host:8188")
        self.address = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
        self.patience = patience
        self.version = ""
        """Of ComfyUI, once it was asked."""
        self._option = option
        self._client = uuid.uuid4().hex

    @property
    def name(self) -> str:
        """As messages name it."""
        return f"ComfyUI {self.version} at {self.address}".replace("  ", " ")

    def connect(self) -> None:
        """Make sure that a ComfyUI answers.

        Raises:
            UserError: something else does.
            Unanswered: nobody does.
        """
        if _object(self._open("/queue")) is None:
            raise UserError(f"what answers at {self.address} is no ComfyUI; correct {self._option}")
        with contextlib.suppress(UserError):
            system = (_object(self._open("/system_stats")) or {}).get("system")
            version = system.get("comfyui_version") if isinstance(system, dict) else None
            self.version = quoted(version) if isinstance(version, str) else ""

    def upload(self, name: str, picture: Image.Image, folder: str = "input") -> str:
        """Put a picture into the server's folder `input` or `temp`, and return how a graph names it there.

        Raises:
            UserError: the server does not keep it.
            Unanswered: it does not answer.
        """
        data = BytesIO()
        picture.save(data, format="PNG")
        boundary = uuid.uuid4().hex
        # Without `overwrite` a server leaves a file that is the same alone, which a graph may be reading just then, and
        # gives another name where one of that name is another picture.
        fields = (
            ('name="type"', folder.encode()),
            (f'name="image"; filename="{name}"', data.getvalue()),
        )
        parts = [
            f"--{boundary}\r\nContent-Disposition: form-data; {head}\r\n\r\n".encode() + body + b"\r\n"
            for head, body in fields
        ]
        body = b"".join(parts) + f"--{boundary}--\r\n".encode()
        answer = self._asked("/upload/image", body, f"multipart/form-data; boundary={boundary}")
        stored, inner = answer.get("name"), answer.get("subfolder")
        if not isinstance(stored, str):
            raise UserError(f"{self.name} did not keep a picture ({quoted(answer)}); look at its log")
        stored = f"{inner}/{stored}" if inner else stored
        return stored if folder == "input" else f"{stored} [{folder}]"

    def submit(self, graph: Nodes, prompt: str | None = None, output: str | None = None) -> str:
        """Queue a graph and return its id.

        Args:
            graph: in API format.
            prompt: the id that it is to have, a UUID; servers of old give another one.
            output: the only node whose result is wanted; None: of all that save or show something.

        Raises:
            Refused: the server does not take it.
            Unanswered: it does not answer.
        """
        told: dict[str, Any] = {"prompt": graph, "client_id": self._client}
        if prompt is not None:
            told["prompt_id"] = prompt
        if output is not None:
            told["partial_execution_targets"] = [output]
        answer = self._asked("/prompt", json.dumps(told).encode())
        given = answer.get("prompt_id")
        if answer.get("node_errors") or not isinstance(given, str):
            if isinstance(given, str):
                self.forget([given])
            raise Refused(
                f"{self.name} refuses the graph: {refusal(answer, graph)}; mend the graph, or give the server what it "
                "lacks"
            )
        return given

    def finish(self, prompt: str, graph: Nodes) -> dict[str, Any]:
        """Wait for a queued graph, queue it again where the server has forgotten it, and return its outputs.

        Raises:
            Lost: the server forgets it every time.
            UserError: see `ended`.
        """
        for _ in range(SUBMISSIONS):
            outputs = self.ended(prompt, graph)
            if outputs is not None:
                return outputs
            prompt = self.submit(graph, prompt)
        raise Lost(f"{self.name} forgets what it is asked for; look at its log")

    def ended(self, prompt: str, graph: Nodes) -> dict[str, Any] | None:
        """Wait for a graph and return its outputs; None where the server knows nothing of it.

        A server that was started again knows nothing of what it has done or was to do.

        Raises:
            NodeFailed: a node raised.
            Interrupted: somebody stopped it.
            Unanswered: the server does not answer.
        """
        pause = _PAUSE
        while True:
            # First the queue: a graph that leaves it in between is in the history then.
            queue = self._asked("/queue")
            history = self._asked(f"/history/{urllib.parse.quote(prompt)}")
            if isinstance(history.get(prompt), dict):
                return outputs_of(history[prompt], graph, self.name)
            lists = (queue.get("queue_running"), queue.get("queue_pending"))
            waiting = [one for found in lists if isinstance(found, list) for one in found]
            if not any(isinstance(one, list) and len(one) > 1 and one[1] == prompt for one in waiting):
                return None
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST)

    def picture(self, item: dict[str, Any]) -> Image.Image:
        """Return a picture that a node wrote.

        Raises:
            UserError: it cannot be read.
            Lost: it is not there any more.
            Unanswered: the server does not answer.
        """
        query = {name: str(item.get(name, "")) for name in ("filename", "subfolder", "type")}
        data = self._waiting(f"/view?{urllib.parse.urlencode(query)}")
        try:
            with Image.open(BytesIO(data), formats=("PNG", "JPEG", "WEBP")) as opened:
                if opened.width * opened.height > MOST_PIXELS:
                    raise ValueError("it is too large")
                return opened.convert("RGB")
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            raise UserError(f"{self.name} gave a picture that cannot be read ({quoted(error)}); {AGAIN}") from error

    def forget(self, prompts: list[str]) -> None:
        """Take graphs out of the queue, if the server can still be asked."""
        with contextlib.suppress(UserError):
            self._open("/queue", json.dumps({"delete": prompts}).encode())

    def _asked(self, path: str, body: bytes | None = None, kind: str = "application/json") -> dict[str, Any]:
        answer = _object(self._waiting(path, body, kind))
        if answer is None:  # a proxy's page in front of a server that is away
            raise Unanswered(f"{self.name} answers {path} with no JSON; look at its log, and {AGAIN}")
        return answer

    def _waiting(self, path: str, body: bytes | None = None, kind: str = "application/json") -> bytes:
        """Return an answer, also of a server that is away for a moment."""
        for pause in _pauses(self.patience):
            try:
                return self._open(path, body, kind)
            except Unanswered:
                time.sleep(pause)
        return self._open(path, body, kind)

    def _open(self, path: str, body: bytes | None = None, kind: str = "application/json") -> bytes:
        told = b""
        request = urllib.request.Request(self.address + path, body, {"Content-Type": kind})
        try:
            with urllib.request.urlopen(request, timeout=SECONDS) as answer:
                return _whole(answer)
        except urllib.error.HTTPError as error:
            with error, contextlib.suppress(*_UNREACHED):  # cut short; the code says enough
                told = error.read(1 << 20)
            if path == "/prompt" and error.code == 400:
                return told  # says what is wrong with the graph
            what = f"{self.name} answers {path.partition('?')[0]} with {error.code}"
            if error.code >= 500 or error.code in _LATER:
                raise Unanswered(f"{what}; look at its log, and {AGAIN}") from error
            if error.code == 404 and path.startswith("/view"):
                raise Lost(f"{self.name} has lost a picture; {AGAIN}") from error
            raise UserError(f"{what}; look at its log, or correct {self._option}") from error
        except _UNREACHED as error:
            reason = getattr(error, "reason", None) or error
            raise Unanswered(
                f"{self.name} does not answer ({quoted(reason)}); start it or correct {self._option}, and {AGAIN}"
            ) from error


def _whole(answer: http.client.HTTPResponse) -> bytes:
    """Return the body of an answer.

    Raises:
        HTTPException: it is shorter than its head says; asked for so many bytes, `read` says nothing of that.
    """
    data = answer.read(_LARGEST)
    if answer.length and len(data) < _LARGEST:
        raise http.client.HTTPException(f"it broke off after {len(data)} of {len(data) + answer.length} bytes")
    return data


def _split(address: str) -> urllib.parse.SplitResult | None:
    """Return the parts of an address of the web, None where it is none."""
    try:
        parts = urllib.parse.urlsplit(address if "://" in address else f"http://{address}")
        whole = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is none, or half a bracket
        return None
    return parts if whole and address.isprintable() and " " not in address else None


def _object(data: bytes) -> dict[str, Any] | None:
    """Return the JSON object of an answer, None where it is something else."""
    try:
        found = parse_json(data, "the answer")
    except UserError:
        return None
    return found if isinstance(found, dict) else None


def _pauses(seconds: float) -> Iterator[float]:
    """Yield growing pauses that come to so many seconds."""
    pause, left = 0.1, seconds
    while left > 0:
        yield min(pause, left)
        left -= pause
        pause = min(2 * pause, 5.0)
