"""Export as a folder: pictures under the hashes of their bytes, and a manifest that `uso train` reads as it is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from ...data.manifest import Row, write_rows
from ...data.names import MANIFEST
from ..pictures import FOLDER
from .accepted import Accepted, picture_bytes
from .files import Split

__all__ = ["write_folder"]


def write_folder(rows: Iterable[Accepted], folder: Path) -> dict[str, Split]:
    """Write rows to a new folder.

    Raises:
        UserError: a picture is damaged.
        OSError: a file cannot be written.
    """
    splits: dict[str, Split] = {}
    copied: dict[Path, tuple[str, int]] = {}

    def copy(picture: Path) -> tuple[str, int]:
        if picture not in copied:
            data, sha256, ending = picture_bytes(picture)
            name = f"{FOLDER}/{sha256[:2]}/{sha256}{ending}"
            path = folder / name
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
            copied[picture] = name, len(data)
        return copied[picture]

    def moved() -> Iterator[Row]:
        for one in rows:
            split = splits.setdefault(one.row.split, Split(MANIFEST))
            split.rows += 1
            split.bytes += sum(copy(picture)[1] for picture in one.row.pictures)
            yield one.row.moved(lambda picture: Path(copy(picture)[0]))

    write_rows(moved(), folder / MANIFEST)
    return splits
