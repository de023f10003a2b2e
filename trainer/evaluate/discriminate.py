"""What each measure tells apart on a labelled folder: styles, subjects, both or nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from PIL import Image
from torch import Tensor

from ...uso_model.errors import UserError
from ...uso_model.judging.discrimination import Area, Discrimination, discriminate, least_apart, short
from ...uso_model.judging.judge import Judge, Sees
from ...uso_model.judging.readout import cosine, csls
from .features import Describer, whole
from .labelled import Labelled
from .looks import opened
from .pixels import LAYOUT, STROKES

__all__ = ["Found", "discriminate_folder", "table"]

MOST_STYLES = 24
"""With more, no pairs of styles are compared."""


class Found(NamedTuple):
    """What a measure tells apart."""

    measure: str
    sees: tuple[Sees, ...]
    """What it claims to."""
    discrimination: Discrimination
    least: tuple[str, str, float] | None
    """Two styles and their area."""

    @property
    def says(self) -> list[str]:
        """Return the sentences that have to stand beside its numbers."""
        told = [self.discrimination.cannot(what) for what in ("style", "subject") if what in self.sees]
        return [sentence for sentence in told if sentence]


class Result(NamedTuple):
    """All measures on one folder."""

    found: list[Found]
    pictures: int
    styles: int
    subjects: int
    problems: list[str]
    """Pictures that were left out, each with what is wrong."""


def discriminate_folder(
    pictures: Sequence[Labelled],
    judges: Sequence[Judge] = (),
    device: torch.device | str = "cpu",
    draws: int = 1000,
    with_csls: bool = False,
) -> Result:
    """Measure what likenesses without weights and judges tell apart.

    Pictures that cannot be read are left out and named. Those of one colour stay: a measure has to bear them.

    Args:
        pictures: see `labelled_pictures`.
        judges: more measures.
        device: where the judges are.
        draws: of the bootstrap.
        with_csls: read each judge by CSLS (k = 10), too.

    Raises:
        UserError: fewer than two pictures can be read.
    """
    measures: list[tuple[Describer, tuple[Sees, ...]]] = [(STROKES, ("style",)), (LAYOUT, ())]
    measures += [(whole(judge, device), judge.card.sees) for judge in judges]
    vectors: list[list[Tensor]] = [[] for _ in measures]
    kept: list[Labelled] = []
    problems: list[str] = []
    for read in _batches(pictures, problems):
        kept += [one for one, _ in read]
        for (describer, _), columns in zip(measures, vectors, strict=True):
            with torch.no_grad():
                prepared = torch.stack([describer.prepare(picture) for _, picture in read])
                columns.append(describer.embed(prepared).float().cpu())
    if len(kept) < 2:
        raise UserError(f"{len(kept)} of {len(pictures)} pictures can be read, expected two or more; put them back")
    styles, subjects = [one.style for one in kept], [one.subject for one in kept]
    few = len(set(styles)) <= MOST_STYLES
    found = []
    for number, ((describer, sees), columns) in enumerate(zip(measures, vectors, strict=True)):
        raw = cosine(torch.cat(columns), torch.cat(columns))
        ways = [(describer.name, raw)]
        if with_csls and number > 1:
            ways.append((f"{describer.name}, CSLS", csls(raw, own=True)))
        for name, similarity in ways:
            apart = discriminate(similarity, styles, subjects, draws)
            least = least_apart(similarity, styles, subjects) if few else None
            found.append(Found(name, sees, apart, least))
    return Result(found, len(kept), len(set(styles)), len(set(subjects)), problems)


def table(result: Result) -> str:
    """Return the result as a table in Markdown."""
    lines = [
        "| measure | style AUC | subject AUC | least apart | |",
        "|---|---|---|---|---|",
    ]
    for one in result.found:
        least = "" if one.least is None else f"{_cell(one.least[0])}, {_cell(one.least[1])}: {short(one.least[2])}"
        style, subject = (_area(area) for area in one.discrimination[:2])
        lines.append(f"| {_cell(one.measure)} | {style} | {subject} | {least} | {'; '.join(one.says)} |")
    return "\n".join(lines)


def _area(area: Area) -> str:
    return str(area).removeprefix("AUC ")


def _cell(text: str) -> str:
    """Return a stranger's name as one cell."""
    plain = "".join(letter if letter.isprintable() and letter not in "|<>`[]" else "_" for letter in text)
    return plain[:60]


def _batches(pictures: Sequence[Labelled], problems: list[str]) -> Iterable[list[tuple[Labelled, Image.Image]]]:
    """Read pictures in groups that the judges take at once, and note what cannot be read."""
    read: list[tuple[Labelled, Image.Image]] = []
    for one in pictures:
        picture = opened(one.path)
        if isinstance(picture, str):
            problems.append(f"{one.path}: {picture}")
            continue
        read.append((one, picture))
        if len(read) == STROKES.batch:
            yield read
            read = []
    if read:
        yield read
