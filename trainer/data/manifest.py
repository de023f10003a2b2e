"""The triplet manifest: JSON Lines, a row each, paths relative to the file.

`{"id", "target", "style": [...], "content": path | [...] | null, "prompt", "layout", "scores", "split", "weight"}`, of
which `id` and `target` must be there. Pictures lie in the manifest's folder or in a root that its first line states;
see `trainer/data/roots.py`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, Field, ValidationError, ValidatorFunctionWrapHandler, field_validator

from ...uso_model.errors import UserError
from ...uso_model.untrusted import Line, json_lines, parse_json, quoted, regular_file
from ...uso_model.writing import atomic_write
from ..settings.base import Settings, either
from .lazy_rows import LazyRows, of_split
from .names import MANIFEST
from .roots import ROOTS, Roots, roots_for

__all__ = ["Layout", "Row", "read_manifest", "require_free", "scan_manifest", "write_manifest", "write_rows"]

_LISTED = 5
_MOST_PICTURES = 1000
_MISSING = "make one with `uso import`, or correct the path"
_AT_ONCE = 8 << 20
"""Bytes of a manifest that is read at once, some 20,000 rows; of a larger one each row is read when it is needed."""


Layout = Literal["preserved", "shifted"]


class Row(Settings):
    """One triplet: the picture to learn and its references, any of which may be absent."""

    model_config = ConfigDict(allow_inf_nan=True)  # `uso check` names each score that is not finite

    id: str = Field(min_length=1)
    target: Path
    style: list[Path] = Field(default_factory=list)
    content: Path | list[Path] | None = None
    prompt: str = ""
    layout: Layout = "shifted"
    scores: dict[str, float] = Field(default_factory=dict)
    split: str = "train"
    weight: float = Field(1.0, gt=0, le=10_000, allow_inf_nan=False)
    """How often the row comes in an epoch."""

    @field_validator("content", mode="wrap")
    @classmethod
    def _as_many(cls, value: Any, validate: ValidatorFunctionWrapHandler) -> Any:
        """Keep a list of one as the path that it is, and an empty one as none."""
        content = either(value, validate)
        if isinstance(content, list) and len(content) < 2:
            return content[0] if content else None
        return content

    @property
    def contents(self) -> list[Path]:
        """The content references."""
        if self.content is None:
            return []
        return self.content if isinstance(self.content, list) else [self.content]

    @property
    def pictures(self) -> list[Path]:
        """All picture files of the row, the target first."""
        return [self.target, *self.style, *self.contents]

    def moved(self, change: Callable[[Path], Path]) -> Row:
        """Return the row with every path changed."""
        contents = [change(path) for path in self.contents]
        return self.model_copy(
            update={
                "target": change(self.target),
                "style": [change(path) for path in self.style],
                "content": contents if len(contents) > 1 else contents[0] if contents else None,
            }
        )


def read_manifest(path: str | Path, split: str | None = "train") -> Sequence[Row]:
    """Return the rows of a manifest with absolute paths, only those of `split` (None: all).

    A large manifest is indexed only: a row of it that is wrong is an error when it is read.

    Raises:
        UserError: a row that is no JSON, holds wrong fields, repeats an id or names a picture outside the manifest's
            folder, with file and line; or no row is left.
    """
    path = Path(path)
    rows: Sequence[Row]
    if regular_file(path, _MISSING).st_size > _AT_ONCE:
        roots, first = _stated_roots(path)
        lazy = LazyRows(path, first, lambda line: _required(_row(line, roots)))
        rows = lazy if split is None else lazy.of_split(split)
    else:
        rows = of_split([_required(row) for row in scan_manifest(path)], split)
    if not rows:
        what = "rows" if split is None else f"row of split {split!r}"
        raise UserError(f"{path.name} holds no {what}; check the file and the split names")
    return rows


def _required(found: Row | str) -> Row:
    if isinstance(found, str):
        raise UserError(found)
    return found


def _stated_roots(path: Path) -> tuple[Roots, int]:
    """Return the roots of a manifest and the number of the line with which its rows begin."""
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        for number, text in enumerate(file, start=1):
            if text.strip():
                place = f"{quoted(path.name)} line {number}"
                value = parse_json(text, place)
                stated = _states_roots(value)
                return Roots.read(path.parent, value[ROOTS], place) if stated else Roots(path.parent), number + stated
    return Roots(path.parent), 1


def _states_roots(value: Any) -> bool:
    return isinstance(value, dict) and ROOTS in value and "id" not in value


def scan_manifest(path: str | Path) -> Iterator[Row | str]:
    """Yield the rows of a manifest with absolute paths, and in place of a row that cannot be used what is wrong.

    Raises:
        UserError: the file is absent or no text.
    """
    path = Path(path)
    roots, seen = None, set[str]()
    for line in json_lines(path, _MISSING):
        if roots is None and _states_roots(line.value):
            try:
                roots = Roots.read(path.parent, line.value[ROOTS], line.place)
            except UserError as error:
                roots = Roots(path.parent)
                yield str(error)
            continue
        roots = roots or Roots(path.parent)
        row = line.problem or _row(line, roots)
        if isinstance(row, Row) and row.id in seen:
            row = f"{line.place} repeats the id {quoted(row.id)!r}; every row needs its own"
        elif isinstance(row, Row):
            seen.add(row.id)
        yield row


def _row(line: Line, roots: Roots) -> Row | str:
    """Return a row with absolute paths, or what is wrong with it."""
    place = line.place
    try:
        row = Row.model_validate(line.value)
    except ValidationError as error:
        wrong = [f"{quoted('.'.join(map(str, e['loc'])) or 'row')}: {e['msg']}" for e in error.errors()]
        more = f"; and {len(wrong) - _LISTED} more" if len(wrong) > _LISTED else ""
        return f"{place} is no triplet ({'; '.join(wrong[:_LISTED])}{more}); see the manifest format in docs/data.md"
    except OverflowError as error:
        return f"{place} is no triplet ({quoted(error)}); see the manifest format in docs/data.md"
    if len(row.pictures) > _MOST_PICTURES:
        return f"{place} (row {quoted(row.id)}) names {len(row.pictures)} pictures, expected at most {_MOST_PICTURES}"
    for picture in row.pictures:
        if problem := roots.problem(picture):
            return f"{place} (row {quoted(row.id)}) names {quoted(picture)}, which {problem}"
    return row.moved(roots.path)


def require_free(path: Path, source: Path, force: bool = False) -> None:
    """Refuse to write a manifest over the source of its rows, or over another one that may have been edited.

    Args:
        path: to write.
        source: of the rows.
        force: write over a manifest that is there.

    Raises:
        UserError: one of the two, or the path is a folder.
    """
    if path.is_dir():
        raise UserError(f"{path} is a folder; give the manifest a name in it, such as {path / MANIFEST}")
    if path.exists() and path.samefile(source):
        raise UserError(f"{path} is what is imported; give the manifest another name with --out")
    if path.exists() and not force:
        raise UserError(f"{path} is there already; give another name with --out, or write over it with --force")


def write_manifest(rows: Iterable[Row], path: str | Path) -> dict[str, str]:
    """Write rows with absolute paths as a manifest; return the roots that it states for pictures outside its folder.

    Args:
        rows: gone through twice.
        path: of the manifest.

    Raises:
        UserError: no rows.
    """
    path = Path(path)
    pictures = {picture: "" for row in rows for picture in row.pictures}
    if not pictures:
        raise UserError(f"got no rows to write to {path.name}; check the source")
    try:
        stated = roots_for(path.parent, pictures)
        roots = Roots(path.parent, {name: Path(place) for name, place in stated.items()})
    except (OSError, RuntimeError, ValueError) as error:
        raise UserError(f"a picture for {path.name} is no path of a file ({quoted(error)}); correct it") from error
    for picture in pictures:
        pictures[picture] = roots.written(picture)
    write_rows(rows, path, stated, pictures.__getitem__)
    return stated


def write_rows(
    rows: Iterable[Row],
    path: str | Path,
    roots: Mapping[str, str] | None = None,
    text: Callable[[Path], str] = Path.as_posix,
) -> None:
    """Write rows: the one place that knows the format.

    Args:
        rows: whose paths are relative to the manifest, or become so by `text`.
        path: of the manifest.
        roots: folders that it states.
        text: of a path, as it is to stand in the manifest.
    """

    def write(temporary: str) -> None:
        with open(temporary, "w", encoding="utf-8", newline="\n") as file:
            if roots:
                file.write(json.dumps({ROOTS: dict(roots)}, ensure_ascii=False) + "\n")
            for row in rows:
                try:
                    file.write(json.dumps(_plain(row, text), ensure_ascii=False) + "\n")
                except UnicodeEncodeError as error:
                    raise UserError(
                        f"row {quoted(row.id)} has a caption or a path that is no Unicode ({quoted(error.object)}); "
                        "write or name it in UTF-8"
                    ) from error

    atomic_write(path, write)


def _plain(row: Row, text: Callable[[Path], str]) -> dict[str, Any]:
    contents = [text(picture) for picture in row.contents]
    values = {
        "id": row.id,
        "target": text(row.target),
        "style": [text(picture) for picture in row.style],
        "content": contents if len(contents) > 1 else contents[0] if contents else None,
        "prompt": row.prompt,
        "layout": row.layout,
        "scores": row.scores,
        "split": row.split,
    }
    return values if row.weight == 1 else {**values, "weight": row.weight}
