"""Scored runs that may stand side by side: of one bench, judged alike, drawn from one noise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...uso_model.errors import UserError
from ...uso_model.untrusted import named, quoted
from .scores import Header, MeasureCard, Score, read_scores

__all__ = ["ScoredRun", "problems_told", "read_together"]


@dataclass(frozen=True)
class ScoredRun:
    """A run with its scores."""

    folder: Path
    name: str
    header: Header
    scores: list[Score]


def read_together(folders: Sequence[Path]) -> list[ScoredRun]:
    """Read the scores of runs.

    Raises:
        UserError: one cannot be read, or they differ in protocol, bench, seeds, noise, judges or measures.
    """
    read = [(folder, *read_scores(folder)) for folder in folders]
    own = [folder.absolute().name for folder in folders]
    names = [str(header.model.get("name") or name) for name, (_, header, _) in zip(own, read, strict=True)]
    # All that one drawer has drawn is called alike.
    names = [a if names.count(a) == 1 else f"{a} ({b})" for a, b in zip(names, own, strict=True)]
    names = [name if names.count(name) == 1 else f"{name} {number}" for number, name in enumerate(names, 1)]
    runs = [ScoredRun(folder, name, header, scores) for name, (folder, header, scores) in zip(names, read, strict=True)]
    for run in runs:
        _require_same(runs[0], run)
    return runs


def problems_told(run: ScoredRun) -> str:
    """Say whether something is wrong with a run's pictures."""
    header = run.header
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(header.problems.items()))
    wrong = sum(header.problems.values())
    return f"{header.expected} pictures" + (f", {wrong} with something wrong: {kinds}" if wrong else "")


def _require_same(first: ScoredRun, other: ScoredRun) -> None:
    was, now = dict(_fixed(first.header)), dict(_fixed(other.header))
    for what, cure in (
        ("protocol", "compare runs of one bench"),
        ("bench", "compare runs of one bench"),
        ("seeds", "draw one of them again with the seeds of the other"),
        ("noise", "compare drawers that draw from one noise"),
        ("judges", "score both with the same files"),
        ("measures", "score both with the same judges"),
    ):
        unknown = what == "noise" and None in (was[what], now[what])
        if was[what] != now[what] and not unknown:
            seen = f" ({quoted(now[what])}, not {quoted(was[what])})" if isinstance(now[what], str) else ""
            raise UserError(f"{named(other.folder)} has other {what} than {named(first.folder)}{seen}; {cure}")


def _fixed(header: Header) -> Iterator[tuple[str, Any]]:
    yield "protocol", header.protocol
    yield "bench", header.bench
    yield "seeds", list(_seeds(header.model))
    yield "noise", header.model.get("noise")
    yield "judges", ", ".join(f"{card.get('name')} {str(card.get('sha256'))[:12]}" for card in header.judges)
    yield "measures", ", ".join(_name(card) for card in header.measures)


def _name(card: MeasureCard) -> str:
    return f"{card.name} of {'/'.join(card.columns)}"


def _seeds(model: Any) -> Iterator[Any]:
    """Yield what a drawer says of its own seeds; most have none, and take the bench's."""
    for name, value in model.items() if isinstance(model, dict) else ():
        if name in ("seed", "seeds"):
            yield value
        yield from _seeds(value)
