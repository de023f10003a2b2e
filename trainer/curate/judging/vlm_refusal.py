"""What a server's refusal means: try again, give up on this row, or stop until a person mends something."""

from __future__ import annotations

import email.utils
import math
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

from ....uso_model.errors import UserError
from ....uso_model.untrusted import parse_json, quoted
from .vlm_model import Unusable

__all__ = ["LONGEST_WAIT", "Refusal", "seconds_to_wait", "words_of"]

LONGEST_WAIT = 900.0
"""Seconds for which a server may ask to be left alone; the run stops where it asks for more."""
_PASSING = {408, 409, 425, 429}
_OF_THE_REQUEST = {400, 413, 422}
_WORDS = 300
_CURES = {
    401: "correct the key",
    403: "ask for the right to use this model, or name another",
    404: "correct vlm.model, or vlm.endpoint, which most servers want to end with /v1",
    413: "set vlm.longest lower",
    **dict.fromkeys((400, 422), "name a model that takes two pictures and has room for them, or set vlm.longest lower"),
}
_NO_MONEY = ("insufficient_quota", "billing")
_FILTERED = ("content_filter", "content_policy", "content management policy", "safety system")


class Refusal(NamedTuple):
    """An answer that is none."""

    status: int
    body: str
    """Without the key."""
    headers: Mapping[str, str]

    @property
    def words(self) -> str:
        """What the server says, on one line."""
        return words_of(self.body)

    def names(self, *words: str) -> bool:
        """Whether the server speaks of one of these."""
        return any(word in self.body.lower() for word in words)

    @property
    def of_the_request(self) -> bool:
        """Whether the server finds fault with what it was sent."""
        return self.status in _OF_THE_REQUEST

    def raised(self, address: str, key: str, only_this: bool) -> Exception:
        """Return the exception that says what to do.

        Args:
            address: of the server.
            key: name of the variable with the key, empty where there is none.
            only_this: whether it answers the same about other pictures.
        """
        told = f"{address} answers {self.status} ({self.words})"
        passing = self.status in _PASSING or self.status >= 500
        if passing and not (self.status == 429 and self.names(*_NO_MONEY)):
            wait = seconds_to_wait(self.headers)
            if wait <= LONGEST_WAIT:
                return Unusable(f"the server answers {self.status} ({self.words})", self.body, wait)
            return UserError(
                f"{told} and wants to be left alone for {wait:.0f} s, expected {LONGEST_WAIT:.0f} s at most; "
                "run the same command after that"
            )
        if self.of_the_request and (only_this or self.names(*_FILTERED)):
            return Unusable(f"the server answers {self.status} ({self.words})", self.body, final=True)
        cure = _CURES.get(self.status, "look at the server's log, or correct vlm.endpoint")
        if self.status == 401:
            cure = f"correct the key in the environment variable {key}" if key else "give a key: see vlm.key_env"
        elif 300 <= self.status < 400:
            cure = f"set vlm.endpoint to where it leads ({quoted(self.headers.get('location', 'it does not say'))})"
        elif passing:
            cure = "pay, or name another model"
        return UserError(f"{told}; {cure}, then run the same command")


def words_of(body: str) -> str:
    """Return what a server says of a fault, out of JSON of the usual forms or of any text."""
    try:
        told: Any = parse_json(body, "it")
    except UserError:
        return quoted(body, _WORDS)
    for _ in range(3):
        if not isinstance(told, dict):
            break
        told = next((told[name] for name in ("error", "message", "detail") if told.get(name)), told)
    return quoted(told, _WORDS)


def seconds_to_wait(headers: Mapping[str, str]) -> float:
    """Return the seconds of a Retry-After header, 0 where there is none that can be read.

    Source: RFC 9110, 10.2.3: a number of seconds, or a date.
    """
    told = headers.get("retry-after", "").strip()
    try:
        seconds = float(told)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(told).timestamp() - time.time()
        except (TypeError, ValueError, OverflowError, IndexError):
            return 0.0
    return max(0.0, seconds) if not math.isnan(seconds) else 0.0
