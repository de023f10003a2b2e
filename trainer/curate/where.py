"""Small expressions over scores, such as `csd >= .5 and (vlm_subject >= 3 or not vlm_style < 2)`.

They are parsed here and never handed to Python. A score that a row lacks, or that is NaN, makes what is said of it
unknown, and unknown is not true: `x >= 1` and `not x >= 1` both leave out a row without x.
"""

from __future__ import annotations

import difflib
import math
import operator
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from ...uso_model.errors import UserError
from ...uso_model.untrusted import quoted

__all__ = ["Where", "parse_where"]

Value = float | str
Scores = Mapping[str, Value]
Truth = bool | None
"""None: unknown."""

_LONGEST, _DEEPEST = 10_000, 50
_LISTED = 60
_TOKEN = re.compile(
    r"""\s*(?:(?P<number>[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?(?![\w.]))|(?P<text>'[^']*'|"[^"]*")"""
    r"""|(?P<name>[^\W\d][\w.]*)|(?P<sign><=|>=|==|!=|<|>|=|\(|\)))""",
    re.ASCII,
)
_COMPARE: dict[str, Callable[[Value, Value], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "=": operator.eq,
    "==": operator.eq,
    "!=": operator.ne,
}
_WORDS = {"and", "or", "not"}
_END = re.compile(r"\s*\Z", re.ASCII)
_EXAMPLE = "such as csd>=.5 and vlm_subject>=3"


class _Token(NamedTuple):
    kind: str
    text: str
    start: int = 0
    """In the expression."""


class Where:
    """A parsed expression."""

    def __init__(
        self,
        text: str,
        names: frozenset[str],
        truth: Callable[[Scores], Truth],
        parts: Sequence[tuple[str, Callable[[Scores], Truth]]] = (),
    ):
        """Take what `parse_where` has parsed, and the parts that `and` joins."""
        self.text, self.names, self._truth, self._parts = text, names, truth, parts

    def holds(self, scores: Scores) -> bool:
        """Whether it is true of a row's scores."""
        return self._truth(scores) is True

    def failing(self, scores: Scores) -> str:
        """Return the first of the parts that `and` joins which is not true of a row's scores; empty where it holds."""
        if self.holds(scores):
            return ""
        return next((text for text, truth in self._parts if truth(scores) is not True), self.text.strip())

    def check(self, known: Collection[str]) -> None:
        """Refuse names that are none.

        Raises:
            UserError: with the names there are.
        """
        unknown = sorted(self.names - set(known))
        if unknown:
            near = difflib.get_close_matches(unknown[0], known, 1)
            meant = f", did you mean {quoted(near[0])}?" if near else ";"
            there = ", ".join(map(quoted, sorted(known)[:_LISTED])) or "none yet"
            raise UserError(
                f"got the score {quoted(unknown[0])!r} in {quoted(self.text)!r}{meant} the scores are {there}"
            )


def parse_where(text: str) -> Where:
    """Return a parsed expression; an empty one is true of every row.

    Raises:
        UserError: it is none, with the place.
    """
    if len(text) > _LONGEST:
        raise UserError(f"got an expression of {len(text)} letters, expected at most {_LONGEST}, {_EXAMPLE}")
    if not text.strip():
        return Where(text, frozenset(), lambda scores: True)
    parser = _Parser(text)
    truth = parser.any_of(0)
    if parser.here.kind != "end":
        raise parser.wrong("and, or, or the end")
    return Where(text, frozenset(parser.names), truth, parser.parts)


class _Parser:
    def __init__(self, text: str):
        self.text, self.place, self.names = text, 0, set[str]()
        self.parts: list[tuple[str, Callable[[Scores], Truth]]] = []
        """What `and` joins outside of brackets, if no `or` stands there."""
        self.here = _Token("", "")
        self.next()

    def next(self) -> _Token:
        """Return the token that is here and go to the next one."""
        was = self.here
        if _END.match(self.text, self.place):
            self.here = _Token("end", "the end", len(self.text))
            return was
        found = _TOKEN.match(self.text, self.place)
        if found is None:
            rest = quoted(self.text[self.place : self.place + 20])
            raise UserError(
                f"got {rest!r} in the expression {quoted(self.text)!r}, expected scores, numbers, "
                f"comparisons, and, or, not and brackets, {_EXAMPLE}"
            )
        self.place = found.end()
        kind = str(found.lastgroup)
        word = found[kind]
        if kind == "name" and word.lower() in _WORDS:
            kind = word.lower()
        if kind == "sign" and word in "()":
            kind = word
        self.here = _Token(kind, word, found.start(str(found.lastgroup)))
        return was

    def wrong(self, expected: str) -> UserError:
        return UserError(
            f"got {quoted(self.here.text)!r} in the expression {quoted(self.text)!r}, expected {expected}, {_EXAMPLE}"
        )

    def any_of(self, depth: int) -> Callable[[Scores], Truth]:
        parts = [self.all_of(depth)]
        while self.here.kind == "or":
            self.next()
            parts.append(self.all_of(depth))
        if depth == 0 and len(parts) > 1:
            self.parts = []
        return parts[0] if len(parts) == 1 else lambda scores: _any(part(scores) for part in parts)

    def all_of(self, depth: int) -> Callable[[Scores], Truth]:
        parts = []
        while True:
            start = self.here.start
            parts.append(self.one(depth))
            if depth == 0:
                self.parts.append((self.text[start : self.here.start].strip(), parts[-1]))
            if self.here.kind != "and":
                break
            self.next()
        return parts[0] if len(parts) == 1 else lambda scores: _not(_any(_not(part(scores)) for part in parts))

    def one(self, depth: int) -> Callable[[Scores], Truth]:
        if depth > _DEEPEST:
            raise UserError(f"got more than {_DEEPEST} brackets and nots in one another; write the expression flatter")
        if self.here.kind == "not":
            self.next()
            part = self.one(depth + 1)
            return lambda scores: _not(part(scores))
        if self.here.kind == "(":
            self.next()
            inner = self.any_of(depth + 1)
            if self.here.kind != ")":
                raise self.wrong("a closing bracket")
            self.next()
            return inner
        return self.comparison()

    def comparison(self) -> Callable[[Scores], Truth]:
        left = self.operand()
        if self.here.kind != "sign":
            raise self.wrong("<, <=, >, >=, = or !=")
        compare = _COMPARE[self.next().text]
        right = self.operand()
        if self.here.kind == "sign":
            raise self.wrong("and, or, or the end: one comparison joins two sides")

        def truth(scores: Scores) -> Truth:
            one, other = left(scores), right(scores)
            if one is None or other is None or isinstance(one, str) != isinstance(other, str):
                return None
            return compare(one, other)

        return truth

    def operand(self) -> Callable[[Scores], Value | None]:
        token = self.here
        value: Value = token.text[1:-1]
        if token.kind == "number":
            value = float(token.text)
        if token.kind not in ("name", "number", "text") or value == math.inf or value == -math.inf:
            raise self.wrong("a score or a number")
        self.next()
        if token.kind != "name":
            return lambda scores: value
        self.names.add(token.text)

        def score(scores: Scores) -> Value | None:
            found = scores.get(token.text)
            return None if isinstance(found, float) and math.isnan(found) else found

        return score


def _not(truth: Truth) -> Truth:
    return None if truth is None else not truth


def _any(parts: Iterable[Truth]) -> Truth:
    unknown = False
    for part in parts:
        if part is True:
            return True
        unknown = unknown or part is None
    return None if unknown else False
