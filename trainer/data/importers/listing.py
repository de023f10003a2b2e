"""The pictures and captions of a folder, and what lies there besides and is left out."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

from ....uso_model.errors import UserError
from ....uso_model.picture_formats import PICTURE_FORMATS, picture_formats
from ....uso_model.untrusted import named, quoted
from ..names import MANIFEST

__all__ = ["Listing", "NoPicture", "counted", "listing"]


class NoPicture(UserError):
    """A folder without a picture."""

    def __init__(self, message: str, skipped: Counter[str]):
        """Keep what the folder holds besides, by ending or reason."""
        super().__init__(message)
        self.skipped = skipped


class Listing:
    """The files of a folder."""

    def __init__(self, folder: Path):
        """Begin with nothing."""
        self.folder = folder
        self.pictures: list[Path] = []
        self.skipped: Counter[str] = Counter()
        """What is left out and how often, by ending or reason."""
        self.alike: frozenset[Path] = frozenset()
        """Pictures that lie beside another one of their stem, in capitals or not, so that both may find one caption."""
        self._texts: dict[str, dict[str, str]] = {}

    def close(self) -> None:
        """Put the pictures in order, when all have been found."""
        self.pictures.sort()
        stems = [os.path.splitext(os.fspath(picture))[0].lower() for picture in self.pictures]
        counts = Counter(stems)
        self.alike = frozenset(p for p, stem in zip(self.pictures, stems, strict=True) if counts[stem] > 1)

    def add_text(self, folder: str, name: str) -> None:
        """Remember a file that may be a caption."""
        self._texts.setdefault(folder, {})[name] = name
        self._texts[folder].setdefault(name.lower(), name)

    def count_orphans(self, extension: str) -> None:
        """Count captions that belong to no picture, such as `a.png.txt`."""
        expected = {(os.fspath(picture.parent), (picture.stem + extension).lower()) for picture in self.pictures}
        for folder, texts in self._texts.items():
            orphans = sum((folder, name.lower()) not in expected for name in set(texts.values()))
            if orphans:
                self.skipped[f"{extension} without a picture of their name"] += orphans

    def caption_file(self, picture: Path, extension: str) -> Path | None:
        """Return the caption beside a picture: its name with another ending, in capitals or not."""
        texts = self._texts.get(os.fspath(picture.parent))
        if texts is None:
            return None
        name = picture.stem + extension
        found = texts.get(name) or texts.get(name.lower())
        return picture.parent / found if found else None


def listing(folder: Path, recursive: bool, caption_extension: str) -> Listing:
    """Return the pictures of a folder in the order of their names.

    Hidden files (`.name` and the `._name` forks of a Mac) and folders, and files of other formats, are counted and left
    out; a folder named like a picture is a folder. Links to files and folders are followed, a folder once.

    Raises:
        UserError: it is no folder or cannot be read.
        NoPicture: it holds none.
    """
    folder = folder.absolute()
    found = Listing(folder)
    if not folder.is_dir():
        raise UserError(f"{named(folder)} is no folder; give the folder of the pictures")
    kinds = (*picture_formats(), "MPO")  # which is opened as JPEG
    endings = tuple(ending for kind in kinds for ending in PICTURE_FORMATS[kind])
    _walk(os.fspath(folder), recursive, endings, caption_extension.lower(), found, {_number(folder)})
    if not found.pictures:
        skipped = f"; skipped are {counted(found.skipped)}" if found.skipped else ""
        below = "" if recursive or "sub-folders" not in found.skipped else ", or look into sub-folders with --recursive"
        raise NoPicture(
            f"{named(folder)} holds no picture ({', '.join(endings)}){skipped}; give the folder of the pictures{below}",
            found.skipped,
        )
    found.close()
    found.count_orphans(caption_extension)
    return found


def _walk(
    folder: str, recursive: bool, endings: tuple[str, ...], caption: str, found: Listing, seen: set[tuple[int, int]]
) -> None:
    try:
        with os.scandir(folder) as entries:
            files = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise UserError(f"{named(folder)} cannot be read ({error.strerror}); check its permissions") from error
    base = Path(folder)
    for entry in files:
        name, lower = entry.name, entry.name.lower()
        if name.startswith("."):
            found.skipped["hidden"] += 1
        elif not _unicode(name):
            found.skipped["names that are no Unicode"] += 1
        elif _kind(entry) == "folder":
            if not recursive:
                found.skipped["sub-folders"] += 1
                continue
            number = _number(entry.path)
            if number not in seen:
                seen.add(number)
                _walk(entry.path, recursive, endings, caption, found, seen)
        elif _kind(entry) != "file":
            found.skipped["broken links"] += 1
        elif lower.endswith(endings):
            found.pictures.append(base / name)
        elif lower.endswith(caption):
            found.add_text(folder, name)
        elif name != MANIFEST:
            found.skipped[os.path.splitext(lower)[1] or "files without ending"] += 1


def _number(folder: str | Path) -> tuple[int, int]:
    status = os.stat(folder)  # on Windows an entry of a listing does not know it
    return status.st_dev, status.st_ino


def _kind(entry: os.DirEntry[str]) -> str:
    """Return what an entry is, through links; one that leads nowhere or to itself is `link`."""
    try:
        return "folder" if entry.is_dir() else "file" if entry.is_file() else "link"
    except OSError:
        return "link"


def _unicode(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def counted(skipped: Counter[str]) -> str:
    """Return counts as a sentence has them: `3 .heic, 4 hidden`."""
    return ", ".join(f"{count} {quoted(what)}" for what, count in skipped.most_common())
