"""A vision language model behind any OpenAI-compatible endpoint: vLLM, llama.cpp, Ollama, or a service.

Answers are read as bytes with a bound of size and time and taken apart here: the client trusts what a server sends.
"""

from __future__ import annotations

import contextlib
import difflib
import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from importlib import import_module
from typing import Any

from ....uso_model.errors import UserError
from ....uso_model.untrusted import quoted
from ..recipe import VlmSettings
from .vlm_key import Key
from .vlm_model import Answer, Turn, Unreachable, Unusable
from .vlm_pictures import plain_alike
from .vlm_refusal import Refusal
from .vlm_reply import models_of, read_reply
from .vlm_request import Form, message_of, weaker

__all__ = ["Endpoint"]

_log = logging.getLogger(__name__)

_LARGEST = 8 << 20
"""Bytes of an answer."""
_KEPT = 4096
"""Letters of one that is too large."""
_NOBODY = {"ConnectError", "ConnectTimeout", "ProxyError", "UnsupportedProtocol"}
_LIST_TRIES = 3
_LONGEST_NAME, _MOST_NAMES, _SHOWN_NAMES = 200, 1000, 10
_CONNECT = 10.0
"""Seconds after which a server that does not take a connection counts as away."""


class Endpoint:
    """Asks one model of one server. The client's own retries are off: `Asking` has ours."""

    def __init__(self, settings: VlmSettings, environment: Mapping[str, str] | None = None):
        """Take address, model and the name of the variable that holds the key.

        Raises:
            UserError: the variable holds no key.
        """
        self.workers = settings.workers
        self.name = f"{quoted(settings.model)} at {settings.endpoint}"
        self._settings = settings
        self._key = Key(settings.key_env, environment)
        self._form = Form()
        self._answered = False
        self._lock = threading.Lock()

    def describe(self) -> dict[str, Any]:
        """Return all that decides an answer; the address does not."""
        return {"model": self._settings.model}

    def check(self) -> None:
        """Ask the server for its models, of which ours must be one; servers without a list are not asked further."""
        key = f"the key of {self._key.variable}" if self._key else "no key"
        _log.info("asking %s, with %s", self.name, key)
        for _ in range(_LIST_TRIES):
            try:
                data = self._sent(lambda client: client.models.with_streaming_response.list())
            except Unusable as error:
                _log.info("%s gives no list of its models: %s", self._settings.endpoint, error.reason)
                continue
            except _Refused as error:
                if error.refusal.status in (401, 403) or 300 <= error.refusal.status < 400:
                    raise self._raised(error.refusal) from None
                _log.info("%s gives no list of its models: %s", self._settings.endpoint, error.refusal.words)
                return
            self._look_up(models_of(self._text(data)))
            return

    def ask(self, turns: Sequence[Turn], schema: Mapping[str, Any]) -> Answer:
        """Ask; see `Vlm`."""
        begun, first = self._form, None
        form = begun
        while True:
            try:
                data = self._asked(turns, schema, form)
            except _Refused as error:
                first = first or error.refusal
                other = weaker(form, error.refusal)
                if other is None:
                    raise self._raised(first, first.of_the_request and self._takes_others(turns, schema)) from None
                form = other
                continue
            if form != begun:
                _log.info("%s does not take all that it is asked for; it is asked for %s", self.name, form.told())
                self._form = form
            self._answered = True
            return read_reply(self._text(data))

    def _asked(self, turns: Sequence[Turn], schema: Mapping[str, Any], form: Form) -> bytes:
        body = {
            "model": self._settings.model,
            "messages": [message_of(turn) for turn in turns],
            "extra_body": form.options(schema),  # older clients do not know all of them
        }
        return self._sent(lambda client: client.chat.completions.with_streaming_response.create(**body))

    def _takes_others(self, turns: Sequence[Turn], schema: Mapping[str, Any]) -> bool:
        """Whether the same question is answered about other pictures, so that these ones are the matter."""
        with self._lock:
            if not self._answered:
                plain = [replace(turn, pictures=[plain_alike(picture) for picture in turn.pictures]) for turn in turns]
                with contextlib.suppress(_Refused, Unusable):
                    self._asked(plain, schema, Form(format=""))
                    self._answered = True
        return self._answered

    @cached_property
    def _client(self) -> Any:
        import openai

        for name in ("httpx", "httpx2"):  # they log a line, with the address, for each request
            logging.getLogger(name).setLevel(logging.WARNING)
        seconds, key = self._settings.timeout, self._key.sent()
        timeout = openai.Timeout(seconds, connect=min(seconds, _CONNECT))
        client = openai.OpenAI(
            api_key=key,
            base_url=self._settings.endpoint,
            max_retries=0,
            timeout=timeout,
            # The key goes to the address that was named and to no other.
            http_client=openai.DefaultHttpxClient(timeout=timeout, follow_redirects=False),
            default_headers={**_omitted(openai), "Authorization": f"Bearer {key}"},
        )
        # The client takes these from the environment, for another server than this one.
        client.organization = client.project = None
        return client

    def _sent(self, call: Callable[[Any], Any]) -> bytes:
        """Return the bytes that a call gives.

        Raises:
            Unusable: none, or they are cut off.
            Unreachable: nobody is there.
            _Refused: the server refuses.
        """
        import openai

        base = openai.DefaultHttpxClient.__mro__[1]  # of httpx, or of httpx2, as the client's version has it
        broken = import_module(base.__module__.partition(".")[0]).HTTPError
        client = self._client
        deadline = time.monotonic() + self._settings.timeout
        try:
            with call(client) as response:
                return self._whole(response.iter_bytes(), deadline)
        except openai.APIStatusError as error:
            body = self._text(error.response.content)
            headers = {name.lower(): self._key.hidden(value) for name, value in error.response.headers.items()}
            raise _Refused(Refusal(error.status_code, body, headers)) from None
        except openai.APIError as error:
            cause = type(error.__cause__).__name__
            reason = quoted(self._key.hidden(str(error.__cause__ or error)))
            if cause in _NOBODY:
                raise Unreachable(f"{self._settings.endpoint} does not answer ({reason})") from None
            if isinstance(error, openai.APITimeoutError):
                raise Unusable(f"no answer within {self._settings.timeout:g} s") from None
            raise Unusable(f"the connection broke ({reason})") from None
        except broken as error:
            raise Unusable(f"the answer was cut off ({quoted(self._key.hidden(str(error)))})") from None

    def _raised(self, refusal: Refusal, only_this: bool = False) -> Exception:
        return refusal.raised(self._settings.endpoint, self._key.variable if self._key else "", only_this)

    def _whole(self, chunks: Iterable[bytes], deadline: float) -> bytes:
        found = bytearray()
        for chunk in chunks:
            found += chunk
            if len(found) > _LARGEST:
                raise Unusable(f"the answer has more than {_LARGEST >> 20} MB", self._text(found)[:_KEPT])
            if time.monotonic() > deadline:
                raise Unusable("the answer did not end in time", self._text(found)[:_KEPT])
        return bytes(found)

    def _text(self, data: bytes | bytearray) -> str:
        return self._key.hidden(data.decode("utf-8", "replace"))

    def _look_up(self, names: list[str]) -> None:
        """Make sure that a list of models has ours."""
        model = self._settings.model
        # Ollama calls a model without a tag by its tag "latest".
        if names and not {model, f"{model}:latest"} & set(names):
            short = [name for name in names if len(name) <= _LONGEST_NAME][:_MOST_NAMES]
            near = difflib.get_close_matches(model, short, n=_SHOWN_NAMES, cutoff=0.0)
            known = ", ".join(map(quoted, near)) + (", ..." if len(names) > len(near) else "")
            raise UserError(
                f"{self._settings.endpoint} has no model {quoted(model)!r}, it has {known}; correct vlm.model"
            )


class _Refused(Exception):
    """The server answers with a status of its own."""

    def __init__(self, refusal: Refusal):
        super().__init__()
        self.refusal = refusal


def _omitted(openai: Any) -> dict[str, Any]:
    """Return a mark for each header that the environment would add, so that it is left out."""
    lines = os.environ.get("OPENAI_CUSTOM_HEADERS", "").split("\n")
    names = [line.partition(":")[0].strip() for line in lines if ":" in line]
    if not hasattr(openai, "Omit"):  # older clients add none
        return {}
    return {name: openai.Omit() for name in names if name.lower() != "authorization"}
