"""A bench on disk: rows to draw, the pictures that they refer to, and what the protocol fixes for all models.

`bench.json` (the `Bench`), `rows.jsonl` (a `Row` each) and `pictures/`, named by their hashes. Whoever draws writes
`<row>_<sample>.png`; whoever scores needs nothing but both folders.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from PIL import Image
from pydantic import Field, ValidationError, field_serializer, model_validator

from ...uso_model.errors import UserError
from ...uso_model.untrusted import json_lines, named, quoted, regular_file
from ...uso_model.writing import atomic_write, sha256_of
from ..data.pictures import open_picture
from ..settings.base import Settings

__all__ = [
    "HEADER",
    "PICTURES",
    "ROWS",
    "ROW_ID",
    "TASKS",
    "Bench",
    "Count",
    "Picture",
    "Row",
    "Task",
    "open_reference",
    "picture_name",
    "read_bench",
    "require_pictures",
    "seed_of",
    "write_bench",
]

Task = Literal["subject", "style", "joint_kept", "joint_shifted", "control"]
TASKS: tuple[Task, ...] = ("subject", "style", "joint_kept", "joint_shifted", "control")
"""Subject reference and prompt; style reference and prompt; both with the content's layout kept (empty prompt); both
with a prompt that asks for another layout; neither, but compared with both: what a model draws that follows nothing.
Source of all but the last: arXiv 2508.18966, section 4.1."""

HEADER, ROWS, PICTURES = "bench.json", "rows.jsonl", "pictures"
ROW_ID = r"^[0-9a-z-]{1,64}$"
"""Ids are parts of file names, and lead out of no folder."""


class Picture(Settings):
    """A picture of a bench, and whence it came."""

    path: Path
    """Within the bench's folder; its name is made of its hash, never of a stranger's name."""
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    source: str = ""
    licence: str = ""

    @model_validator(mode="after")
    def _named_by_hash(self) -> Picture:
        if self.path.parts[:-1] != (PICTURES,) or self.path.stem != self.sha256:
            raise UserError(f"a picture lies at {quoted(self.path)}, expected {PICTURES}/ and its hash")
        return self

    @field_serializer("path")
    def _for_every_system(self, path: Path) -> str:
        return path.as_posix()


class Row(Settings):
    """What is drawn, and what the drawings are compared with."""

    id: str = Field(pattern=ROW_ID)
    task: Task
    prompt: str
    prompt_id: str
    """Equal for rows that share a prompt's template: the unit over which intervals are drawn."""
    style: str | None = None
    """The key in `Bench.pictures` of the style reference that is fed."""
    content: str | None = None
    """The key of the subject reference that is fed."""
    subject: str | None = None
    """The name of the subject: the other unit over which intervals are drawn."""
    style_name: str | None = None
    against_subject: list[str] = Field(default_factory=list)
    """Keys of all pictures of the subject: drawings are compared with each, and the mean is taken."""
    against_style: list[str] = Field(default_factory=list)
    """Keys of pictures in the style, the fed one among them."""
    target: str | None = None
    """The key of a real picture of just what is asked for, in worlds that have one."""
    strangers: list[str] = Field(default_factory=list)
    """Keys of pictures of others that could be taken for the subject."""
    samples: int = Field(1, gt=0, le=10_000)
    group: str | None = None
    """Rows are drawn in one batch with neighbours of the same group alone; None is a group, too."""
    facts: dict[str, Any] = Field(default_factory=dict)
    """What a measure of a world with labels has to know; under `subject` and `style` what belongs to these two."""

    @property
    def references(self) -> list[str]:
        """Return the keys of all pictures that the row refers to."""
        ones = (self.style, self.content, self.target)
        return [key for key in (*ones, *self.against_subject, *self.against_style, *self.strangers) if key]


class Count(Settings):
    """How many rows and pictures a task has, and how many are published for the protocol."""

    rows: int
    pictures: int
    published: int | None = None


class Bench(Settings):
    """What is equal for all models that a bench compares."""

    protocol: str
    format: Literal["uso-bench-1"] = "uso-bench-1"
    width: int = Field(1024, gt=0)
    height: int = Field(1024, gt=0)
    steps: int = Field(25, gt=0)
    guidance: float = 4.0
    pictures: dict[str, Picture] = Field(default_factory=dict)
    counts: dict[Task, Count] = Field(default_factory=dict)
    notes: list[str] = Field(default_factory=list)
    """What a reader of a report has to know of the protocol."""


def seed_of(bench: Bench, row: Row, sample: int) -> int:
    """Return the seed of a picture: a function of protocol, row and sample, so that all models draw from one noise.

    It has 53 bits: JSON readers of other languages keep those exactly.
    """
    text = f"{bench.protocol}/{row.id}/{sample}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 11


def picture_name(row: Row, sample: int) -> str:
    """Return the file's name of a drawing."""
    return f"{row.id}_{sample}.png"


def open_reference(folder: Path, bench: Bench, key: str) -> Image.Image:
    """Return a picture of a bench as upright RGB.

    Raises:
        UserError: it is gone, or damaged.
    """
    return open_picture(folder / bench.pictures[key].path, otherwise="build the bench again")


def require_pictures(folder: Path, bench: Bench) -> None:
    """Make sure that the pictures of a bench are there and are what they were.

    Raises:
        UserError: one is not.
    """
    for picture in bench.pictures.values():
        path = folder / picture.path
        regular_file(path, "build the bench again, or copy it whole")
        if sha256_of(path) != picture.sha256:
            raise UserError(f"{named(path)} holds something else than its name says; build the bench again")


def write_bench(folder: Path, bench: Bench, rows: Iterable[Row]) -> None:
    """Write header and rows; the pictures have to be there.

    Raises:
        OSError: they cannot be written.
    """
    lines = "".join(row.model_dump_json(exclude_defaults=True) + "\n" for row in rows)
    atomic_write(folder / ROWS, lambda path: Path(path).write_text(lines, encoding="utf-8"))
    header = json.dumps(bench.model_dump(mode="json"), indent=1, ensure_ascii=False)
    atomic_write(folder / HEADER, lambda path: Path(path).write_text(header, encoding="utf-8"))


def read_bench(folder: Path) -> tuple[Bench, list[Row], str]:
    """Return header, rows and the hash of both, by which runs are known to belong together.

    Raises:
        UserError: no bench, a row with wrong fields or a repeated id (with its line), or a picture that no one states.
    """
    header = folder / HEADER
    if not header.is_file():
        raise UserError(f"{folder} holds no {HEADER}: make a bench with `uso eval build`, or correct the path")
    try:
        bench = Bench.model_validate_json(header.read_text(encoding="utf-8"))
    except (ValidationError, UnicodeDecodeError) as error:
        raise UserError(f"{header} cannot be read ({quoted(error)}); build the bench again") from error
    rows: list[Row] = []
    seen: set[str] = set()
    for line in json_lines(folder / ROWS, "build the bench again with `uso eval build`"):
        if line.problem:
            raise UserError(line.problem)
        try:
            row = Row.model_validate(line.value)
        except ValidationError as error:
            raise UserError(f"{line.place}: {quoted(error.errors()[0]['msg'])}; build the bench again") from error
        if row.id in seen:
            raise UserError(f"{line.place}: the id {row.id} stands there twice; build the bench again")
        unknown = [key for key in row.references if key not in bench.pictures]
        if unknown:
            raise UserError(f"{line.place}: {HEADER} has no picture {quoted(unknown[0])}; build the bench again")
        seen.add(row.id)
        rows.append(row)
    parts = sha256_of(header) + sha256_of(folder / ROWS)
    return bench, rows, hashlib.sha256(parts.encode()).hexdigest()
