"""Export as WebDataset: tar archives whose samples have `target.png`, `style0.png`, `content0.png` and `json`."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterable
from pathlib import Path

from ...data.tars import ENDING
from .accepted import Accepted, picture_bytes
from .files import Parts, Split

__all__ = ["write_webdataset"]


class _Archive:
    def __init__(self, path: Path):
        self._tar = tarfile.open(path, "w", format=tarfile.USTAR_FORMAT)  # noqa: SIM115 - closed by `close`

    def add(self, name: str, data: bytes) -> None:
        info = tarfile.TarInfo(name)
        info.size = len(data)
        self._tar.addfile(info, io.BytesIO(data))

    def close(self) -> None:
        self._tar.close()


def write_webdataset(rows: Iterable[Accepted], folder: Path) -> dict[str, Split]:
    """Write rows to a new folder; archives of equal rows are equal in every byte.

    Raises:
        UserError: a picture is damaged.
        OSError: a file cannot be written.
    """
    parts = Parts(folder, ENDING, _Archive)
    try:
        for one in rows:
            pictures = {"target": one.row.target}
            pictures |= {f"style{n}": path for n, path in enumerate(one.row.style)}
            pictures |= {f"content{n}": path for n, path in enumerate(one.row.contents)}
            members: dict[str, bytes] = {}
            for name, path in pictures.items():
                data, _, ending = picture_bytes(path)
                members[f"{name}{ending}"] = data  # by its bytes: a name such as a.json would say that it is a text
            archive = parts.of(one.row.split, sum(map(len, members.values())))
            for name, data in members.items():
                archive.add(f"{one.number:08d}.{name}", data)
            archive.add(f"{one.number:08d}.json", json.dumps(one.fields(), ensure_ascii=False).encode())
    finally:
        parts.close()
    return parts.splits
