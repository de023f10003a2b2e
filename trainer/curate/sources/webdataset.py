"""Pictures of WebDataset archives: those of each sample, with what its text and JSON say.

Of a sample that has a `target`, such as those that an export writes, the others are references and no pictures of the
source.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from ....uso_model.errors import UserError
from ....uso_model.untrusted import named, quoted
from ...data.tars import Member, Sample, read_member, read_said, read_samples, tar_files
from .folder import looks_like_a_picture
from .source import Picture, about, key_problem, require_size

__all__ = ["webdataset_pictures"]

_TARGET = "target."
_TAIL = 64
"""Bytes at the end of a picture that differ where pictures do: the last of its data, and checksums."""


def webdataset_pictures(path: Path, style: str = "folder") -> Iterator[Picture | str]:
    """Yield the pictures of an archive, or of those in a folder, and in place of one that is refused the reason.

    Raises:
        UserError: there is no archive.
    """
    if path.is_file() and path.suffix.lower() != ".tar":
        raise UserError(f"{named(path)} is no .tar; unpack compressed ones, since they cannot be read from the middle")
    for archive in tar_files(path):
        name = archive.relative_to(path).as_posix() if path.is_dir() else archive.name
        for sample in read_samples(archive):
            if isinstance(sample, str):
                yield sample
                continue
            yield from _pictures(name, sample, style)


def _pictures(archive: str, sample: Sample, style: str) -> Iterator[Picture | str]:
    kinds = [kind for kind in sample.members if looks_like_a_picture(f"a.{kind}")]
    if not kinds:
        return
    try:
        said = read_said(sample)
    except (UserError, OSError) as error:
        yield str(error)
        said = {}
    for kind in [kind for kind in kinds if kind.startswith(_TARGET)] or kinds:
        member = sample.members[kind]
        problem = key_problem(member.name)
        if problem:
            yield f"{quoted(archive)} member {quoted(member.name)} {problem}"
            continue
        fingerprint = f"{member.size}-{member.time}-{_check(member):08x}"
        folder = member.name.rpartition("/")[0]
        yield Picture(f"{archive}/{member.name}", fingerprint, about(said, style, folder), partial(_read, member))


def _check(member: Member) -> int:
    """Return a checksum of a picture's end: archives are often written anew with no time, or the same one."""
    try:
        return zlib.crc32(read_member(member, -_TAIL, _TAIL))
    except OSError:  # told when the picture is read
        return 0


def _read(member: Member) -> bytes:
    require_size(member.size, member.name)
    return read_member(member)
