"""One question to a vision language model, asked until its answer can be used or its tries are over."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from ....uso_model.errors import UserError
from ..entry import RAW
from ..recipe import VlmSettings
from .vlm_answers import Invalid, json_of
from .vlm_model import Answer, Turn, Unreachable, Unusable, Vlm

__all__ = ["FIRST_PATIENCE", "Account", "Asking", "Unjudged"]

_log = logging.getLogger(__name__)

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
"""Seconds between tries; they double, and a random part of up to a half is taken off so that workers part."""
FIRST_PATIENCE = 10.0
"""Seconds for which a model is waited for before the run begins."""
_WORTH_A_LINE = 5.0
_LONGEST_RAW, _MOST_FAULTS = 8000, 20
Read = TypeVar("Read")


class Unjudged(Exception):
    """The tries are over; says why the last one was of no use."""


@dataclass
class Account:
    """What was said and what it cost."""

    tokens_in: int = 0
    tokens_out: int = 0
    requests: int = 0
    retries: int = 0
    models: list[str] = field(default_factory=list)
    """That answered, as the server says."""
    answers: list[dict[str, str]] = field(default_factory=list)
    faults: list[dict[str, str]] = field(default_factory=list)
    """Answers that could not be used, the last ones."""

    def take(self, answer: Answer) -> None:
        """Count an answer, whether or not it can be used."""
        self.tokens_in += answer.tokens_in
        self.tokens_out += answer.tokens_out
        if answer.model and answer.model not in self.models:
            self.models.append(answer.model)

    def keep(self, place: str, raw: str) -> None:
        """Keep the answer to a question."""
        self.answers.append({"place": place, "raw": _cut(raw)})

    def refuse(self, place: str, problem: str, raw: str) -> None:
        """Keep what could not be used."""
        self.faults = [*self.faults, {"place": place, "problem": problem, "raw": _cut(raw)}][-_MOST_FAULTS:]

    def notes(self, settings: VlmSettings, **more: Any) -> dict[str, Any]:
        """Return what can be added up, and what was said, with more of that kind."""
        cost = (self.tokens_in * settings.cost_in + self.tokens_out * settings.cost_out) / 1e6
        return {
            "requests": self.requests,
            "retries": self.retries,
            "tokens_in": self.tokens_in,
            "tokens_out": self.tokens_out,
            "cost": cost,
            RAW: {**more, "models": self.models, "answers": self.answers, "faults": self.faults},
        }


class Asking:
    """Asks; shared by all workers, which wait together where the server wants to be left alone."""

    def __init__(
        self,
        vlm: Vlm,
        tries: int,
        patience: float,
        again: str,
        pause: float = FIRST_PAUSE,
    ):
        """Take a model.

        Args:
            vlm: the model.
            tries: of one question.
            patience: seconds for which a model that is away is waited for.
            again: what is said after an answer that cannot be used, with {problem} in it.
            pause: seconds before the second try.
        """
        self.vlm = vlm
        self._tries, self._patience, self._again, self._pause = tries, patience, again, pause
        self._random = random.Random()
        self._lock = threading.Lock()
        self._silent_until = 0.0

    def ask(
        self,
        turns: Sequence[Turn],
        schema: Mapping[str, Any],
        read: Callable[[dict[str, Any]], Read],
        account: Account,
        place: str,
    ) -> Read:
        """Return what `read` makes of an answer.

        Args:
            turns: the last one is the question.
            schema: of the answer.
            read: raises Invalid where the answer does not say what was asked.
            account: is added to.
            place: of the question, for people.

        Raises:
            Unjudged: no try gave an answer that can be used.
            UserError: no try can, until a person mends something.
        """
        asked, problem = list(turns), ""
        for attempt in range(self._tries):
            if attempt:
                account.retries += 1
                self._rest(attempt)
            self._be_silent()
            account.requests += 1
            try:
                answer = self.reached(lambda: self.vlm.ask(asked, schema), self._patience)  # noqa: B023
                account.take(answer)
                found = read(json_of(answer.text))
            except Unusable as error:
                if error.answer is not None:
                    account.take(error.answer)
                account.refuse(place, error.reason, error.raw)
                self._leave_alone(error.wait)
                problem = error.reason
                if error.final:
                    break
            except Invalid as error:
                account.refuse(place, str(error), answer.text)
                # At temperature 0 the same question would get the same answer.
                text = f"{turns[-1].text}\n{self._again.replace('{problem}', str(error))}"
                asked = [*turns[:-1], replace(turns[-1], text=text)]
                problem = f"the answer cannot be used: {error}"
            else:
                account.keep(place, answer.text)
                return found
        raise Unjudged(problem)

    def reached(self, call: Callable[[], Read], patience: float) -> Read:
        """Return what a call gives, made again while nobody is there.

        Raises:
            UserError: nobody came for `patience` seconds.
        """
        began, attempt = time.monotonic(), 0
        while True:
            try:
                return call()
            except Unreachable as error:
                left = began + patience - time.monotonic()
                if left <= 0:
                    raise UserError(f"{error}; start it or correct vlm.endpoint, then run the same command") from None
                if not attempt:
                    _log.warning("%s; waiting for it, up to %.0f s", error, left)
                attempt += 1
                time.sleep(min(self._jittered(attempt), left))

    def _rest(self, attempt: int) -> None:
        time.sleep(self._jittered(attempt))

    def _jittered(self, attempt: int) -> float:
        pause = min(self._pause * 2.0 ** min(attempt - 1, 30), LONGEST_PAUSE)
        return pause * (1 - self._random.random() / 2)

    def _leave_alone(self, seconds: float) -> None:
        if seconds >= _WORTH_A_LINE:
            _log.warning("%s wants to be left alone for %.0f s", self.vlm.name, seconds)
        with self._lock:
            self._silent_until = max(self._silent_until, time.monotonic() + seconds)

    def _be_silent(self) -> None:
        while (left := self._silent_until - time.monotonic()) > 0:
            time.sleep(left)


def _cut(raw: str) -> str:
    return raw if len(raw) <= _LONGEST_RAW else f"{raw[:_LONGEST_RAW]} ... ({len(raw)} letters)"
