"""WebDataset archives: exports of `uso curate`, or any whose samples hold pictures."""

from __future__ import annotations

from pathlib import Path

from ....uso_model.picture_formats import PICTURE_SUFFIXES
from ..tars import Sample, read_member, read_said, read_samples, tar_files
from .found import Found
from .unpacking import add_unpacked, put_in_order

__all__ = ["import_webdataset"]


def import_webdataset(source: Path, found: Found) -> None:
    """Find the samples of an archive, or of those in a folder.

    Raises:
        UserError: there is none, a member is damaged or its text is none, named with its archive.
        OSError: a picture cannot be read or written.
    """
    for archive in tar_files(source):
        for sample in read_samples(archive):
            if isinstance(sample, str):
                found.absent.append(sample)
            else:
                _add(found, source if source.is_dir() else source.parent, archive, sample)
    put_in_order(found)


def _add(found: Found, folder: Path, archive: Path, sample: Sample) -> None:
    pictures = {kind: one for kind, one in sample.members.items() if f".{kind.rpartition('.')[2]}" in PICTURE_SUFFIXES}
    if not pictures:
        found.skipped["samples without a picture"] += 1
        return
    key = f"{archive.stem}/{sample.key}"
    group = f"{folder}/{sample.key.rpartition('/')[0]}"
    opened = ((kind, read_member(one)) for kind, one in pictures.items())
    add_unpacked(found, folder, key, group, read_said(sample), opened)
