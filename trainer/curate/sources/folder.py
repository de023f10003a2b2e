"""Pictures of a folder and the folders in it, with captions beside them."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from functools import partial
from pathlib import Path

from ....uso_model.errors import UserError
from ....uso_model.picture_formats import PICTURE_SUFFIXES
from ....uso_model.untrusted import named, quoted, read_text
from ...data.names import MANIFEST, PICTURES
from ..run_folder import RUN
from .source import Picture, about, file_fingerprint, key_problem, read_file

__all__ = ["folder_pictures", "is_made_here", "looks_like_a_picture"]

_UNREAD = frozenset({".svg", ".svgz", ".psd", ".jxl", ".jp2", ".ico", ".eps", ".tga", ".exr", ".dng"})
"""Endings of pictures that are not read: they are listed, so that each is rejected with its reason."""
_CAPTION = ".txt"
_TOLD = 5


def looks_like_a_picture(name: str) -> bool:
    """Whether a file's name says that it is a picture, of a kind that is read or not."""
    return os.path.splitext(name)[1].lower() in PICTURE_SUFFIXES | _UNREAD


def is_made_here(names: Collection[str]) -> bool:
    """Whether a folder with these names in it is of a run, an export or a set of the graph: no source of pictures."""
    return RUN in names or (MANIFEST in names and PICTURES in names)


class _LeftOut:
    """Files that are left out because their names are not those of pictures, by their endings."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[str, int]] = {}

    def add(self, name: str) -> None:
        ending = os.path.splitext(name)[1].lower()
        first, count = self._found.get(ending, (name, 0))
        self._found[ending] = first, count + 1

    def told(self) -> str:
        """Return a sentence, empty where there is none."""
        if not self._found:
            return ""
        # A blank at the end of a name has to be seen.
        said = [f"{count} such as {quoted(repr(first))}" for first, count in list(self._found.values())[:_TOLD]]
        more = sum(count for _, count in list(self._found.values())[_TOLD:])
        said += [f"{more} others"] if more else []
        return f"left out, because they do not end as pictures do: {', '.join(said)}; rename those that are pictures"


def folder_pictures(folder: Path, style: str = "folder") -> Iterator[Picture | str]:
    """Yield the pictures of a folder in the order of their names, and in place of one that is refused the reason.

    Hidden files and folders, and folders of runs, are passed over; so are exports and sets, with a word. A link to a
    file is followed where it stays in the folder; what a link to a folder in it would show is there under its own name.

    Raises:
        UserError: there is no such folder.
    """
    if not folder.is_dir():
        raise UserError(f"{named(folder)} is no folder; correct source.path")
    left_out = _LeftOut()
    yield from _walk(folder, "", folder.resolve(), style, {_number(folder)}, left_out)
    if left_out.told():
        yield left_out.told()


def _walk(
    folder: Path, inner: str, root: Path, style: str, seen: set[tuple[int, int]], left_out: _LeftOut
) -> Iterator[Picture | str]:
    try:
        with os.scandir(folder) as entries:
            files = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        yield f"{named(folder)} cannot be read ({error.strerror}); check its permissions"
        return
    names = {entry.name for entry in files}
    if inner and is_made_here(names):
        if RUN not in names:  # of a run nothing is said: it may be the one that asks
            yield f"{quoted(inner)} is a set of triplets, which is passed over; make it a source of its own"
        return
    for entry in files:
        if entry.name.startswith("."):
            continue
        key, path = f"{inner}{entry.name}", folder / entry.name
        try:
            is_folder = entry.is_dir()
            if not is_folder and not looks_like_a_picture(entry.name):
                if not entry.name.lower().endswith(_CAPTION):
                    left_out.add(entry.name)
                continue
            problem = key_problem(entry.name) or _link_problem(entry, root)
            if problem:
                yield f"{quoted(key)} {problem}"
            elif is_folder:
                if not entry.is_symlink() and _number(path) not in seen:
                    seen.add(_number(path))
                    yield from _walk(path, f"{key}/", root, style, seen, left_out)
            elif not entry.is_file():
                yield f"{quoted(key)} is no file; take it out of the source"
            else:
                caption, wrong = _caption(path, names)
                if wrong:
                    yield wrong
                said = about({"prompt": caption}, style, inner.rstrip("/"))
                yield Picture(key, file_fingerprint(entry.stat()), said, partial(read_file, path))
        except (OSError, RuntimeError) as error:  # it has gone, or is a link in a circle
            reason = getattr(error, "strerror", None) or error
            yield f"{quoted(key)} cannot be read ({quoted(reason)}); mend or remove it"


def _link_problem(entry: os.DirEntry[str], root: Path) -> str | None:
    if entry.is_symlink() and not Path(entry.path).resolve(strict=True).is_relative_to(root):
        return "is a link that leads out of the source; put the file itself there"
    return None


def _number(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino


def _caption(path: Path, names: set[str]) -> tuple[str, str]:
    """Return the text of the file beside a picture that has its name, empty where there is none, and what is wrong."""
    name = path.stem + _CAPTION
    if name not in names:
        return "", ""
    try:
        return read_text(path.with_name(name), "mend or remove it"), ""
    except UserError as error:
        return "", str(error)
