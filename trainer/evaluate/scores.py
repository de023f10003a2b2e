"""Scores on disk: a header that says who judged what, and a line for each picture.

Several machines write a file each, `scores-1-of-4.jsonl`; reading them all is merging them.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from ...uso_model.errors import UserError
from ...uso_model.untrusted import json_lines, quoted
from ...uso_model.writing import atomic_write
from ..settings.base import Settings
from .bench import ROW_ID, Task

__all__ = ["Header", "MeasureCard", "Score", "Whose", "read_scores", "scores_name", "write_scores"]

Whose = Literal["model", "oracle", "chance"]
"""Drawn by the model; real pictures in their place (the most that can be had); references shuffled (the least)."""


class MeasureCard(Settings):
    """A column of a report, and how its mean is to be read."""

    name: str
    judge: str | None = None
    sees: Literal["style", "subject", "text", "copying", "leak"]
    better: Literal["higher", "lower", "neither"] = "higher"
    aggregate: Literal["mean", "area"] = "mean"
    """area: of the ROC curve between the first of `columns` and the second."""
    columns: list[str] = Field(min_length=1)
    """Names in `Score.values`; one for means."""
    bounds: tuple[float, float] | None = None
    """Between which the mean can lie, as far as it is known; an area lies between 0 and 1."""
    says: str = ""
    """What it is, in words, where its name does not tell."""
    cannot: str | None = None
    """What it cannot tell apart here, such as `cannot tell styles apart here (AUC .52, .47 to .57)`."""


class Header(Settings):
    """Who judged, of which bench, and what was wrong."""

    format: Literal["uso-scores-1"] = "uso-scores-1"
    protocol: str
    bench: str
    """Hash of the bench, see `read_bench`."""
    model: dict[str, Any] = Field(default_factory=dict)
    """What drew: name, files with hashes, settings; as `run.json` of the drawings has it."""
    judges: list[dict[str, Any]] = Field(default_factory=list)
    """Cards of the judges."""
    measures: list[MeasureCard] = Field(default_factory=list)
    versions: dict[str, str] = Field(default_factory=dict)
    """Of the packages that the numbers depend on."""
    bench_folder: str | None = None
    """Where the bench lay; a report takes prompts and references from there, if they are there still."""
    shard: tuple[int, int] = (1, 1)
    expected: int = 0
    """Pictures that the bench asks for in this shard."""
    problems: dict[str, int] = Field(default_factory=dict)
    """What was wrong with pictures, such as `missing` or `black`, and how many there were."""


class Score(Settings):
    """The numbers of one picture."""

    row: str = Field(pattern=ROW_ID)
    """A part of the name of the picture's file."""
    sample: int = Field(ge=0)
    task: Task
    whose: Whose = "model"
    subject: str | None = None
    style_name: str | None = None
    prompt_id: str = ""
    sha256: str | None = None
    """Of the picture's pixels."""
    values: dict[str, float | None] = Field(default_factory=dict)
    """Column to number; None where the measure has no meaning for the row, or could not be taken."""
    problem: str | None = None


def scores_name(shard: tuple[int, int]) -> str:
    """Return the name of the file of a shard `(i, n)`, i from 1."""
    number, of = shard
    return "scores.jsonl" if of == 1 else f"scores-{number}-of-{of}.jsonl"


def write_scores(path: Path, header: Header, scores: Iterable[Score]) -> None:
    """Write header and lines.

    Raises:
        OSError: they cannot be written.
    """

    def write(temporary: str) -> None:
        with Path(temporary).open("w", encoding="utf-8") as file:
            file.write(header.model_dump_json() + "\n")
            for score in scores:
                file.write(score.model_dump_json(exclude_defaults=True) + "\n")

    atomic_write(path, write)


def read_scores(folder: Path) -> tuple[Header, list[Score]]:
    """Return header and lines of all shards of a run, which must be complete and of one bench and the same judges.

    Raises:
        UserError: no scores, a shard is missing, shards that do not belong together, or a damaged line with its place.
    """
    files = sorted(folder.glob("scores*.jsonl"))
    if not files:
        raise UserError(f"{folder} holds no scores; make them with `uso eval score`, or correct the path")
    headers: list[Header] = []
    scores: list[Score] = []
    for file in files:
        lines = json_lines(file, "score the run again with `uso eval score`")
        for number, line in enumerate(lines):
            if line.problem:
                raise UserError(line.problem)
            try:
                if number == 0:
                    headers.append(Header.model_validate(line.value))
                else:
                    scores.append(Score.model_validate(line.value))
            except ValidationError as error:
                told = quoted(error.errors()[0]["msg"])
                raise UserError(f"{line.place}: {told}; score the run again with `uso eval score`") from error
    return _merged(folder, headers), scores


def _merged(folder: Path, headers: list[Header]) -> Header:
    first = headers[0]
    of = first.shard[1]
    found = sorted(header.shard[0] for header in headers)
    if any(header.shard[1] != of for header in headers) or found != list(range(1, of + 1)):
        raise UserError(f"{folder} holds the shards {found} of {of}; score the others, or take strange files away")
    for header in headers[1:]:
        same = ("protocol", "bench", "judges", "measures")
        other = [name for name in same if getattr(header, name) != getattr(first, name)]
        if other:
            raise UserError(f"shards of {folder} differ in {', '.join(other)}; score them all with the same settings")
    problems: dict[str, int] = {}
    for header in headers:
        for name, count in header.problems.items():
            problems[name] = problems.get(name, 0) + count
    expected = sum(header.expected for header in headers)
    return first.model_copy(update={"problems": problems, "expected": expected, "shard": (1, 1)})
