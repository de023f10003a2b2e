"""Bare pictures that share a style or a subject, with captions beside them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from .found import Found, Item

__all__ = ["add_set", "import_pictures"]


def import_pictures(folder: Path, found: Found) -> None:
    """Find the pictures of a folder, each a target with other ones of them as references.

    Raises:
        UserError: no folder, or no picture in it.
    """
    add_set(found, folder)


def add_set(
    found: Found,
    folder: Path,
    weight: float = 1.0,
    caption: str = "",
    caption_extension: str | None = None,
    recursive: bool = False,
    change: Sequence[str] = ("", ""),
    first_line: bool = False,
    trigger: str | None = None,
) -> None:
    """Add the pictures of a folder that refer to each other.

    Args:
        found: what is added to.
        folder: of the pictures.
        weight: how often they come.
        caption: of pictures without one.
        caption_extension: ending of the captions' files.
        recursive: look into sub-folders too.
        change: text before and after every caption.
        first_line: a caption is the first line of its file.
        trigger: word that stands in every caption.

    Raises:
        UserError: no folder, or no picture in it.
    """
    pictures = found.listing(folder, recursive, caption_extension)
    for picture in pictures.pictures:
        text = found.caption(pictures, picture, caption, caption_extension)
        if first_line and "\n" in text:
            found.note("of captions with several lines the first is taken, as the trainer itself does")
            text = text.partition("\n")[0].strip()
        text = f"{change[0]}{text}{change[1]}" if text else text
        found.items.append(Item(picture.absolute(), text, group=str(folder), weight=weight, trigger=trigger))
