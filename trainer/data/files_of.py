"""The files of a data set that is one file or a folder of them: tar archives, parquet."""

from __future__ import annotations

from pathlib import Path

from ...uso_model.errors import UserError
from ...uso_model.untrusted import named

__all__ = ["files_of"]


def files_of(path: Path, ending: str, what: str) -> list[Path]:
    """Return a file itself, or those of an ending in a folder and the folders in it, in the order of their names.

    Args:
        path: of the file or folder.
        ending: such as `.tar`.
        what: the data set is, for messages.

    Raises:
        UserError: there is none.
    """
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise UserError(f"{named(path)} is not there; correct the path")
    found = [one for one in path.rglob(f"*{ending}") if one.is_file() and not one.name.startswith(".")]
    if not found:
        raise UserError(f"{named(path)} holds no {ending} file; {what} is a file of that ending or a folder of them")
    return sorted(found)
