"""Making a bench of a protocol and a source: pictures copied under their hashes, rows, and a count of each task."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from ...uso_model.errors import UserError
from ...uso_model.untrusted import named
from ..problems import Problems
from .bench import HEADER, PICTURES, ROWS, Bench, Count, Row, Task, read_bench, write_bench
from .protocols.protocol import Asked, BenchProtocol, ProblemList
from .protocols.store import Store

__all__ = ["Report", "build_bench"]

AS_IT_IS = Asked()


class Report(NamedTuple):
    """What was built."""

    bench: Bench
    problems: list[str]
    """What was left out, and why."""


def build_bench(
    protocol: BenchProtocol,
    source: Path | None,
    out: Path,
    asked: Asked = AS_IT_IS,
    force: bool = False,
    leave_out: bool = False,
) -> Report:
    """Write a bench.

    Args:
        protocol: says what becomes of the source.
        source: its folder or list; None where the protocol needs none.
        out: folder of the bench.
        asked: what differs from the protocol.
        force: write over a bench that is there, or into a folder that has parts of one.
        leave_out: build without what has problems, and say so in the bench.

    Raises:
        Problems: something of the source cannot be used.
        UserError: the source is none of this protocol, nothing is left, or `out` has a bench or parts of one.
        OSError: the folder cannot be written to.
    """
    if not force:
        _require_free(out)
    store, problems = Store(), ProblemList()
    built = protocol.build(source, store, asked, problems)
    rows = list(built.rows)
    if problems and not (leave_out and rows):
        raise Problems(problems)
    if not rows:
        raise UserError(f"{named(source) if source else protocol.name} gives no rows; add references and prompts to it")
    _require_once(rows)
    kept = {key for row in rows for key in row.references}
    notes = list(built.notes)
    if problems:
        notes.append(f"{len(problems)} problems of the source were left out")
    before = _listed(out)
    if (out / HEADER).exists():
        (out / HEADER).unlink()  # from here on there is no bench, until there is the new one
    pictures = store.write(out, kept)
    bench = Bench(
        protocol=protocol.name,
        width=built.width,
        height=built.height,
        steps=built.steps,
        guidance=built.guidance,
        pictures=pictures,
        counts=_counts(rows, built.published),
        notes=notes,
    )
    write_bench(out, bench, rows)
    for name in before - {picture.path.name for picture in pictures.values()}:
        with suppress(OSError):  # it is in no one's way
            (out / PICTURES / name).unlink(missing_ok=True)
    return Report(bench, problems)


def _require_once(rows: Sequence[Row]) -> None:
    twice = [name for name, count in Counter(row.id for row in rows).items() if count > 1]
    if twice:
        raise UserError(f"the protocol gives {len(twice)} rows the same id, such as {twice[0]}; correct the protocol")


def _counts(rows: Sequence[Row], published: Mapping[Task, int | None]) -> dict[Task, Count]:
    found: dict[Task, Count] = {}
    for row in rows:
        before = found.get(row.task, Count(rows=0, pictures=0, published=published.get(row.task)))
        changed = {"rows": before.rows + 1, "pictures": before.pictures + row.samples}
        found[row.task] = before.model_copy(update=changed)
    return found


def _require_free(out: Path) -> None:
    """Make sure that nothing is written over.

    Raises:
        UserError: a bench is there, or files that would be taken for parts of one.
    """
    if (out / HEADER).exists():
        raise UserError(f"{named(out)} holds a bench already; choose another folder, or write over it with --force")
    for name in (PICTURES, ROWS):
        if (out / name).exists():
            raise UserError(
                f"{named(out)} holds {name} and no {HEADER}: files of yours, or of a build that was stopped; choose "
                f"another folder, or build there with --force, which keeps the pictures and writes over {ROWS}"
            )


def _listed(out: Path) -> set[str]:
    """Return the names of the pictures of a bench that is written over: all that a build may remove."""
    try:
        return {picture.path.name for picture in read_bench(out)[0].pictures.values()}
    except UserError:  # there is none, or nobody can say what was its own
        return set()
