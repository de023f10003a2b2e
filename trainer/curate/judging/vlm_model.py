"""What a vision language model is to the rest: turns of a conversation in, one answer out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

__all__ = ["Answer", "Turn", "Unreachable", "Unusable", "Vlm"]


@dataclass(frozen=True)
class Turn:
    """One turn of a conversation."""

    role: Literal["user", "assistant"]
    text: str
    pictures: Sequence[bytes] = ()
    """JPEG files, in the order in which the text counts them."""


@dataclass(frozen=True)
class Answer:
    """What a model said, not yet checked."""

    text: str
    model: str = ""
    """As the server says."""
    tokens_in: int = 0
    tokens_out: int = 0


class Unusable(Exception):
    """One request gave nothing that can be used; the reason is one sentence for a person."""

    def __init__(
        self, reason: str, raw: str = "", wait: float = 0.0, final: bool = False, answer: Answer | None = None
    ):
        """Say why.

        Args:
            reason: for a person.
            raw: what came instead.
            wait: seconds for which the server asked to be left alone.
            final: whether the same request can only fail again.
            answer: where there was one, for its tokens, which cost something all the same.
        """
        super().__init__(reason)
        self.reason, self.raw, self.wait, self.final, self.answer = reason, raw, wait, final, answer


class Unreachable(Exception):
    """Nobody is there; says where and why in one sentence."""


class Vlm(Protocol):
    """A vision language model. Called by several threads at once where `workers` says so."""

    workers: int
    name: str
    """For messages."""

    def describe(self) -> dict[str, Any]:
        """Return all that decides an answer besides what is asked."""
        ...

    def check(self) -> None:
        """Look whether it can be asked, before there is anything to ask.

        Raises:
            UserError: it cannot, until a person mends something.
            Unreachable: nobody is there.
        """
        ...

    def ask(self, turns: Sequence[Turn], schema: Mapping[str, Any]) -> Answer:
        """Ask for JSON of a schema, whose conformance is for the caller to check.

        Raises:
            Unusable: no answer, or none that is whole.
            Unreachable: nobody is there.
            UserError: no request can do better until a person mends something.
        """
        ...
