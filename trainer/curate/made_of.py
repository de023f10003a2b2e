"""Whether the rows of a run's manifest still show what the run has made by its settings."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from ...uso_model.errors import UserError
from ...uso_model.untrusted import named, quoted
from ..data.manifest import Row
from ..data.names import MANIFEST
from .pictures import Stored
from .pipeline import Pipeline
from .steps import CONTENT, STYLE, TARGET

__all__ = ["require_own_pictures"]


def require_own_pictures(
    run: Path, pipeline: Pipeline, rows: Iterable[Row], made: Mapping[str, Mapping[str, Stored]]
) -> None:
    """Make sure that what the run says of its rows is about the pictures of its manifest.

    After a run with other settings the manifest has the older pictures until rows are accepted anew.

    Args:
        run: folder of the run.
        pipeline: its steps.
        rows: of its manifest.
        made: the pictures of the run's rows, by their ids; rows of other ids were put there by a person.

    Raises:
        UserError: a row has another picture.
    """
    steps = {plan.name for plan in pipeline.plans}
    other = [row.id for row in rows if row.id in made and not _shows(row, made[row.id], steps)]
    if other:
        raise UserError(
            f"{len(other)} rows of {named(run / MANIFEST)}, such as {quoted(other[0])}, have pictures that the run's "
            "last settings have not made; choose rows with `uso curate accept` once more"
        )


def _shows(row: Row, made: Mapping[str, Stored], steps: Collection[str]) -> bool:
    """Whether a row has those pictures that steps of the run make.

    It may have more, and may lack references. What is absent is named where it is read.
    """
    for name, paths in ((TARGET, [row.target]), (STYLE, row.style), (CONTENT, row.contents)):
        if name not in steps or not paths:
            continue
        own = made[name].sha256 if name in made else None
        if own not in {path.stem for path in paths} and (own or any(path.is_file() for path in paths)):
            return False
    return True
