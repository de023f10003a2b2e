"""WebDataset: samples of tar archives, found by reading their headers alone, nothing of which is unpacked.

Format: github.com/webdataset/webdataset, README ("The WebDataset Format"): files of one sample have one name up to the
first dot of its last part, and what follows the dot says what each is.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from ...uso_model.errors import UserError
from ...uso_model.untrusted import named, parse_json, quoted
from .files_of import files_of

__all__ = ["ENDING", "Member", "Sample", "read_member", "read_said", "read_samples", "tar_files"]

ENDING = ".tar"
_BLOCK = tarfile.BLOCKSIZE
_TEXTS, _JSON = ("txt", "caption", "text"), "json"
_LONGEST_TEXT = 1 << 20


class Member(NamedTuple):
    """A file in an archive."""

    archive: Path
    name: str
    offset: int
    """Of its first byte in the archive."""
    size: int
    time: int


class Sample(NamedTuple):
    """Files of an archive that belong together."""

    key: str
    """Their name up to the first dot of its last part, with the folders before it."""
    members: dict[str, Member]
    """By what follows the dot, in lower case: `jpg`, `txt`, `target.png`."""


def tar_files(path: Path) -> list[Path]:
    """Return the archives that a path names: itself, or those in a folder, in the order of their names.

    Raises:
        UserError: there is none.
    """
    return files_of(path, ENDING, "a WebDataset")


def read_samples(archive: Path) -> Iterator[Sample | str]:
    """Yield the samples of an archive in its order, and in place of what cannot be used the reason.

    All headers are read before the first sample, so that files of one sample need not lie beside each other. Of an
    archive that is damaged or cut off, what lies before the damage is there.
    """
    samples: dict[str, dict[str, Member]] = {}
    for member in _members(archive):
        if isinstance(member, str):
            yield member
            continue
        folder, _, name = member.name.rpartition("/")
        stem, dot, kind = name.partition(".")
        if not dot or not stem:  # hidden files, among them the forks of a Mac
            continue
        kinds = samples.setdefault(f"{folder}/{stem}" if folder else stem, {})
        if kind.lower() in kinds:
            yield f"{_place(archive, member.name)} is there twice; the first one is taken"
        else:
            kinds[kind.lower()] = member
    for key, members in samples.items():
        yield Sample(key, members)


def _members(archive: Path) -> Iterator[Member | str]:
    last = "the beginning"
    try:
        size = archive.stat().st_size
        with tarfile.open(archive, "r:", errors="surrogateescape") as tar:
            while (found := tar.next()) is not None:
                tar.members.clear()  # type: ignore[attr-defined]  # it would keep all of them
                last = found.name
                if found.isdir():
                    continue
                if not found.isreg() or found.issparse():
                    what = "a link" if found.issym() or found.islnk() else "no plain file"
                    yield f"{_place(archive, found.name)} is {what}; put the file itself there"
                elif found.offset_data + found.size > size:
                    yield f"{_place(archive, found.name)} is cut off; what lies before is used; make it again"
                    return
                else:
                    yield Member(archive, found.name, found.offset_data, found.size, int(found.mtime))
            if _ends_here(archive, tar.offset):
                return
    except (tarfile.TarError, OSError, ValueError, EOFError, LookupError, ArithmeticError, RuntimeError) as error:
        yield f"{quoted(archive.name)} cannot be read behind {quoted(last)} ({quoted(error)}); make it again"
        return
    yield f"{quoted(archive.name)} is damaged or cut off behind {quoted(last)}; what lies before is used; make it again"


def _ends_here(archive: Path, offset: int) -> bool:
    """Whether an archive ends at an offset as it should: with a block of zeros, or with the file."""
    with archive.open("rb") as file:
        file.seek(offset)
        return not file.read(_BLOCK).strip(b"\0")


def _place(archive: Path, name: str) -> str:
    return f"{quoted(archive.name)} member {quoted(name)}"


def read_member(member: Member, begin: int = 0, most: int | None = None) -> bytes:
    """Return the bytes of a member, or some of them.

    Args:
        member: which one.
        begin: first byte; a negative one counts from the end.
        most: how many; None: all.

    Raises:
        OSError: the archive cannot be read, or is shorter than it was.
    """
    first = max(0, member.size + begin) if begin < 0 else min(begin, member.size)
    length = member.size - first if most is None else min(most, member.size - first)
    with member.archive.open("rb") as file:
        file.seek(member.offset + first)
        data = file.read(length)
    if len(data) != length:
        raise OSError(f"{named(member.archive)} is shorter than it was; make it again")
    return data


def read_said(sample: Sample) -> dict[str, Any]:
    """Return what the JSON of a sample says, and its text as the prompt.

    Raises:
        UserError: the JSON is none, or the text no UTF-8.
        OSError: the archive cannot be read.
    """
    said: dict[str, Any] = {}
    for kind in (_JSON, *_TEXTS):
        member = sample.members.get(kind)
        if member is None:
            continue
        place = _place(member.archive, member.name)
        if member.size > _LONGEST_TEXT:
            raise UserError(f"{place} has {member.size} bytes, expected at most {_LONGEST_TEXT} of a text")
        if kind == _JSON:
            value = parse_json(read_member(member), place)
            said |= value if isinstance(value, dict) else {}
        else:
            try:
                said["prompt"] = read_member(member).decode("utf-8-sig").strip()
            except UnicodeDecodeError as error:
                raise UserError(f"{place} is not UTF-8 text ({error.reason}); write it again") from error
    return said
