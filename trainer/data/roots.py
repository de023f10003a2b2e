"""Folders that a manifest states for pictures outside its own: siblings, other drives.

The first line of a manifest may be `{"roots": {"refs": "../references", "disk": "D:/pictures"}}`; then `refs:a/1.png`
is a picture in `../references`. Every picture must lie, after `..` and links, in the manifest's folder or in such
a root.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path, PureWindowsPath
from typing import Any

from ...uso_model.errors import UserError
from ...uso_model.untrusted import quoted

__all__ = ["ROOTS", "Roots", "roots_for"]

ROOTS = "roots"
"""Name in the first line."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]+")  # of two letters or more: one letter before a colon is a drive
_MOST_ROOTS = 32
_OTHER_SYSTEM = os.name != "nt"


class Roots:
    """The folder of a manifest and the folders that it states."""

    def __init__(self, folder: Path, stated: Mapping[str, Path] | None = None):
        """Use the roots `stated` by name; relative ones lie beside the manifest."""
        self._folder = folder.absolute()
        self.named = {name: Path(os.path.normpath(self._folder / place)) for name, place in (stated or {}).items()}
        self._real = [place.resolve() for place in (self._folder, *self.named.values())]
        self._known: dict[str, bool] = {}

    @classmethod
    def read(cls, folder: Path, stated: Any, place: str) -> Roots:
        """Return the roots of a manifest's first line.

        Raises:
            UserError: no object of names and paths, with `place`, the file and line.
        """
        if not isinstance(stated, dict) or not all(isinstance(path, str) and path for path in stated.values()):
            raise UserError(f'{place} has roots that are no object of names and folders, such as {{"refs": "../refs"}}')
        for name, path in stated.items():
            if not _NAME.fullmatch(name):
                raise UserError(
                    f"{place} has the root {quoted(name)!r}; a root's name is two or more letters, digits, - and _"
                )
            if foreign(path):
                raise UserError(
                    f"{place} has the root {name} at {quoted(path)}, a path of Windows; write where it is on this "
                    "machine"
                )
        try:
            return cls(folder, {name: Path(path) for name, path in stated.items()})
        except (OSError, RuntimeError, ValueError) as error:
            raise UserError(f"{place} has a root that is no folder ({quoted(error)}); correct it") from error

    def path(self, picture: Path) -> Path:
        """Return a picture's absolute path."""
        return Path(self._text(os.fspath(picture)))

    def _text(self, picture: str) -> str:
        # Text and not paths: a manifest may name millions of pictures.
        first, separator, rest = picture.partition(":")
        if separator and rest and first in self.named:
            return os.path.join(self.named[first], rest)
        return os.path.join(self._folder, picture) if picture != "." else os.fspath(self._folder)

    def problem(self, picture: Path) -> str | None:
        """Say what is wrong with the place of a picture, which must lie inside, after `..` and links.

        A folder is looked up once for all its pictures.
        """
        text = os.fspath(picture)
        path = self._text(text)
        try:
            parent, name = os.path.split(path)
            if name == ".." or _is_link(path):
                inside = self._inside(Path(path).resolve())
            else:
                if parent not in self._known:
                    self._known[parent] = self._inside(Path(parent).resolve())
                inside = self._known[parent]
            if foreign(text) and not os.path.exists(path):
                return "is a path of Windows; write it with / and relative to the manifest or a root of it"
            if ":" in text and Path(path).is_relative_to(self._folder) and not os.path.exists(path):
                return "begins with a root that the manifest's first line does not state; add it there"
        except (OSError, RuntimeError, ValueError) as error:  # links in a circle, a name too long, a NUL
            return f"is no path of a file ({quoted(error)}); correct it"
        return None if inside else "lies outside the manifest's folder and its roots; move it there or state a root"

    def written(self, picture: Path) -> str:
        """Return a picture's path as the manifest holds it.

        Raises:
            UserError: it lies outside.
        """
        path = picture.absolute()
        if path.is_relative_to(self._folder) and ".." not in path.parts:
            return path.relative_to(self._folder).as_posix()
        real = Path(os.path.normpath(path))
        for name, root in (("", self._folder), *self.named.items()):
            for place in (root, root.resolve()):
                if real.is_relative_to(place):
                    inner = real.relative_to(place).as_posix()
                    return f"{name}:{inner}" if name else inner
        raise UserError(f"{picture} lies outside {self._folder} and the roots of the manifest; state a root for it")

    def _inside(self, real: Path) -> bool:
        return any(real.is_relative_to(root) for root in self._real)


def _is_link(path: str) -> bool:
    """Whether a path is a link; unlike `os.path.islink`, a name that the system refuses is an OSError."""
    try:
        return stat.S_ISLNK(os.lstat(path).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False


def foreign(path: str) -> bool:
    """Whether a path has a drive or backslashes, which mean nothing on this system."""
    return _OTHER_SYSTEM and ("\\" in path or (path[1:2] == ":" and bool(PureWindowsPath(path).drive)))


def roots_for(folder: Path, pictures: Iterable[Path]) -> dict[str, str]:
    """Return roots that a manifest in `folder` needs for pictures, by name: relative paths where both share a drive."""
    here, real_here = folder.absolute(), folder.resolve()
    outside: set[Path] = set()
    seen: set[Path] = set()
    for picture in pictures:
        path = picture.absolute()
        parents = {path.parent, path.resolve().parent} if path.is_symlink() else {path.parent}
        for parent in parents - seen:
            seen.add(parent)
            if not parent.resolve().is_relative_to(real_here):
                outside.add(Path(os.path.normpath(parent)))
    named: dict[str, str] = {}
    for root in _merged(outside):
        base = re.sub(r"[^A-Za-z0-9_-]+", "-", root.name).strip("-_")
        base = base if _NAME.fullmatch(base) else f"root-{base}".rstrip("-")
        name, number = base, 2
        while name in named:
            name, number = f"{base}-{number}", number + 1
        named[name] = _address(here, root)
    return named


def _merged(folders: Iterable[Path]) -> list[Path]:
    """Return folders without those that lie in another one; very many are replaced by what holds them all."""
    outer: list[Path] = []
    for folder in sorted(folders, key=lambda path: path.parts):
        if not outer or not folder.is_relative_to(outer[-1]):
            outer.append(folder)
    if len(outer) <= _MOST_ROOTS:
        return outer
    by_drive: dict[str, list[Path]] = {}
    for one in outer:
        by_drive.setdefault(one.anchor, []).append(one)
    return [Path(os.path.commonpath(group)) for group in by_drive.values()]


def _address(here: Path, root: Path) -> str:
    """Return a root relative to the manifest's folder, absolute where they have no folder in common."""
    try:
        common = Path(os.path.commonpath((here, root)))
    except ValueError:  # two drives
        return root.as_posix()
    if common == Path(common.anchor):
        return root.as_posix()
    return Path(os.path.relpath(root, here)).as_posix()
