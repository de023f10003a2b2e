"""The triplet manifest: JSON Lines, paths relative to the file."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from pydantic import ConfigDict, Field, ValidationError

from ...uso_model.checkpoints.files import atomic_write
from ...uso_model.errors import UserError
from ..config import Settings

__all__ = ["Row", "read_manifest", "scan_manifest", "write_manifest"]


class Row(Settings):
    """One triplet: the picture to learn and its references, any of which may be absent."""

    model_config = ConfigDict(allow_inf_nan=True)  # `uso check` names each score that is not finite

    id: str = Field(min_length=1)
    target: Path
    style: list[Path] = Field(default_factory=list)
    content: Path | None = None
    prompt: str = ""
    layout: Literal["preserved", "shifted"] = "shifted"
    scores: dict[str, float] = Field(default_factory=dict)
    split: str = "train"

    @property
    def pictures(self) -> list[Path]:
        """All picture files of the row, the target first."""
        return [self.target, *self.style, *([] if self.content is None else [self.content])]


def read_manifest(path: str | Path, split: str | None = "train") -> list[Row]:
    """Return the rows of a manifest with absolute paths, only those of `split` (None: all).

    Raises:
        UserError: a row that is no JSON, holds wrong fields, repeats an id or names a picture outside the manifest's
            folder, with file and line; or no row is left.
    """
    rows: list[Row] = []
    for found in scan_manifest(path):
        if isinstance(found, str):
            raise UserError(found)
        if split is None or found.split == split:
            rows.append(found)
    if not rows:
        what = "rows" if split is None else f"row of split {split!r}"
        raise UserError(f"{Path(path).name} holds no {what}; check the file and the split names")
    return rows


def scan_manifest(path: str | Path) -> Iterator[Row | str]:
    """Yield the rows of a manifest with absolute paths, and in place of a row that cannot be used what is wrong.

    Raises:
        UserError: the file is absent or no text.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path} is not there; make one with `uso import`, or correct the path")
    try:
        text = path.read_text(encoding="utf-8-sig")  # Windows editors put a byte order mark in front
    except UnicodeDecodeError as error:
        raise UserError(f"{path.name} is not UTF-8 text ({error.reason}); save it as JSON Lines in UTF-8") from error
    folder = _Folder(path.parent)
    seen: set[str] = set()
    for number, line in enumerate(text.split("\n"), start=1):  # splitlines would also cut inside a prompt
        if line.strip():
            yield _row(line, f"{path.name} line {number}", folder, seen)


class _Folder:
    """The folder of a manifest."""

    def __init__(self, path: Path):
        self._path = path.absolute()
        self._real = path.resolve()
        self._known: dict[str, bool] = {}

    def path(self, picture: Path) -> Path:
        return self._path / picture

    def holds(self, picture: Path) -> bool:
        """Whether a picture lies inside, after `..` and links; a folder is looked up once for all its pictures."""
        path = self._path / picture
        if path.name == ".." or path.is_symlink():
            return path.resolve().is_relative_to(self._real)
        parent = os.fspath(path.parent)
        if parent not in self._known:
            self._known[parent] = Path(parent).resolve().is_relative_to(self._real)
        return self._known[parent]


def _row(line: str, place: str, folder: _Folder, seen: set[str]) -> Row | str:
    """Return a row with absolute paths, or what is wrong with it; its id is added to `seen`."""
    try:
        row = Row.model_validate(json.loads(line))
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'row'}: {e['msg']}" for e in error.errors())
        return f"{place} is no triplet ({wrong}); see the manifest format in the README"
    except ValueError as error:
        return f"{place} is not JSON ({error}); write one row per line"
    if row.id in seen:
        return f"{place} repeats the id {row.id!r}; every row needs its own"
    seen.add(row.id)
    for picture in row.pictures:
        if not folder.holds(picture):
            return (
                f"{place} (row {row.id}) names {picture}, which lies outside the manifest's folder; move the picture "
                "into it"
            )
    return row.model_copy(
        update={
            "target": folder.path(row.target),
            "style": [folder.path(style) for style in row.style],
            "content": None if row.content is None else folder.path(row.content),
        }
    )


def write_manifest(rows: Sequence[Row], path: str | Path) -> None:
    """Write rows with absolute paths as a manifest beside or above their pictures.

    Raises:
        UserError: no rows, or a picture outside the manifest's folder.
    """
    path = Path(path)
    if not rows:
        raise UserError(f"got no rows to write to {path.name}; check the source")
    folder = path.parent.resolve()

    def relative(picture: Path) -> str:
        real = picture.resolve()
        if not real.is_relative_to(folder):
            raise UserError(
                f"{picture} lies outside {folder}; write the manifest to a folder that holds all its pictures"
            )
        return real.relative_to(folder).as_posix()

    lines = []
    for row in rows:
        values = row.model_dump()
        values["target"] = relative(row.target)
        values["style"] = [relative(picture) for picture in row.style]
        values["content"] = None if row.content is None else relative(row.content)
        lines.append(json.dumps(values, ensure_ascii=False) + "\n")
    text = "".join(lines)
    atomic_write(path, lambda temporary: Path(temporary).write_text(text, encoding="utf-8", newline="\n"))
