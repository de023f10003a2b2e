"""The triplet manifest: JSON Lines, paths relative to the file."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal

from pydantic import ConfigDict, Field, ValidationError

from ...uso_model.checkpoints.files import atomic_write
from ...uso_model.errors import UserError
from ...uso_model.untrusted import Line, json_lines, quoted
from ..settings.base import Settings

__all__ = ["Row", "read_manifest", "scan_manifest", "write_manifest", "write_rows"]

_LISTED = 5
_MOST_PICTURES = 1000


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
    folder, seen = None, set[str]()
    for line in json_lines(path, "make one with `uso import`, or correct the path"):
        folder = folder or _Folder(path.parent)
        yield line.problem or _row(line, folder, seen)


class _Folder:
    """The folder of a manifest."""

    def __init__(self, path: Path):
        self._path = path.absolute()
        self._real = path.resolve()
        self._known: dict[str, bool] = {}

    def path(self, picture: Path) -> Path:
        return self._path / picture

    def problem(self, picture: Path) -> str | None:
        """Say what is wrong with the place of a picture, which must lie inside, after `..` and links.

        A folder is looked up once for all its pictures.
        """
        path = self._path / picture
        try:
            if path.name == ".." or path.is_symlink():
                inside = path.resolve().is_relative_to(self._real)
            else:
                parent = os.fspath(path.parent)
                if parent not in self._known:
                    self._known[parent] = Path(parent).resolve().is_relative_to(self._real)
                inside = self._known[parent]
        except (OSError, RuntimeError, ValueError) as error:  # links in a circle, a name too long, a NUL
            return f"is no path of a file ({quoted(error)}); correct it"
        return None if inside else "lies outside the manifest's folder; move the picture into it"


def _row(line: Line, folder: _Folder, seen: set[str]) -> Row | str:
    """Return a row with absolute paths, or what is wrong with it; its id is added to `seen`."""
    place = line.place
    try:
        row = Row.model_validate(line.value)
    except ValidationError as error:
        wrong = [f"{quoted('.'.join(map(str, e['loc'])) or 'row')}: {e['msg']}" for e in error.errors()]
        more = f"; and {len(wrong) - _LISTED} more" if len(wrong) > _LISTED else ""
        return f"{place} is no triplet ({'; '.join(wrong[:_LISTED])}{more}); see the manifest format in the README"
    except OverflowError as error:
        return f"{place} is no triplet ({quoted(error)}); see the manifest format in the README"
    if len(row.pictures) > _MOST_PICTURES:
        return f"{place} (row {quoted(row.id)}) names {len(row.pictures)} pictures, expected at most {_MOST_PICTURES}"
    if row.id in seen:
        return f"{place} repeats the id {quoted(row.id)!r}; every row needs its own"
    seen.add(row.id)
    for picture in row.pictures:
        if problem := folder.problem(picture):
            return f"{place} (row {quoted(row.id)}) names {quoted(picture)}, which {problem}"
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

    def relative(picture: Path) -> Path:
        try:
            real = picture.resolve()
        except (OSError, RuntimeError, ValueError) as error:
            raise UserError(f"{quoted(picture)} is no path of a file ({quoted(error)}); correct it") from error
        if not real.is_relative_to(folder):
            raise UserError(
                f"{picture} lies outside {folder}; write the manifest to a folder that holds all its pictures"
            )
        return real.relative_to(folder)

    write_rows(
        [
            row.model_copy(
                update={
                    "target": relative(row.target),
                    "style": [relative(picture) for picture in row.style],
                    "content": None if row.content is None else relative(row.content),
                }
            )
            for row in rows
        ],
        path,
    )


def write_rows(rows: Iterable[Row], path: str | Path) -> None:
    """Write rows whose paths are relative to the manifest, as they are: the one place that knows the format."""
    lines = []
    for row in rows:
        values = row.model_dump()
        values["target"] = row.target.as_posix()
        values["style"] = [picture.as_posix() for picture in row.style]
        values["content"] = None if row.content is None else row.content.as_posix()
        lines.append(json.dumps(values, ensure_ascii=False) + "\n")
    text = "".join(lines)
    atomic_write(path, lambda temporary: Path(temporary).write_text(text, encoding="utf-8", newline="\n"))
