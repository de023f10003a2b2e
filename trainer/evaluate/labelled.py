"""A folder of pictures whose names say style and subject."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from ...uso_model.errors import UserError
from ...uso_model.images import PICTURE_SUFFIXES
from ...uso_model.untrusted import named

__all__ = ["LAYOUTS", "Labelled", "labelled_pictures"]

LAYOUTS = "STYLE/SUBJECT.png in a folder for each style, or SUBJECT.STYLE.png in one"


class Labelled(NamedTuple):
    """A picture, and what is known of it."""

    path: Path
    style: str
    subject: str


def labelled_pictures(folder: Path) -> list[Labelled]:
    """Return the pictures of a folder, in the order of their names; hidden files and other files are passed over.

    Args:
        folder: holds a folder for each style, in which pictures of one subject have one name; or pictures named
            `SUBJECT.STYLE.png`.

    Raises:
        UserError: no such folder, or not two styles with a picture each.
        OSError: the folder cannot be read.
    """
    if not folder.is_dir():
        raise UserError(f"{named(folder)} is no folder; name one that holds {LAYOUTS}")
    found = []
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            found += [Labelled(file, path.name, file.stem) for file in sorted(path.iterdir()) if _is_picture(file)]
        elif _is_picture(path) and path.stem.strip(".").count("."):
            subject, _, style = path.stem.rpartition(".")
            found.append(Labelled(path, style, subject))
    styles = {one.style for one in found}
    if len(styles) < 2:
        raise UserError(
            f"{named(folder)} holds {len(found)} pictures in {len(styles)} styles, expected two styles or more: put "
            f"pictures there as {LAYOUTS}"
        )
    return found


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in PICTURE_SUFFIXES and not path.name.startswith(".") and path.is_file()
