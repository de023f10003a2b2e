"""Data sets of diffusers and Hugging Face: an `imagefolder` with `metadata.jsonl` or `metadata.csv`.

Format: huggingface.co/docs/datasets/image_dataset (ImageFolder): `file_name` and further columns, of which those named
`*_file_name` hold pictures too; folders `train`, `validation` and `test` are splits.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import Any

from ....uso_model.errors import UserError
from ....uso_model.picture_formats import PICTURE_SUFFIXES
from ....uso_model.untrusted import json_objects, quoted, read_text
from ..sources import TRAIN, VALIDATION
from .found import Found, Item

__all__ = ["import_imagefolder", "metadata_files"]

_NAMES = ("metadata.jsonl", "metadata.csv")
_SPLITS = {"train": TRAIN, "validation": VALIDATION, "valid": VALIDATION, "val": VALIDATION, "dev": VALIDATION}
_TARGETS = ("file_name", "image", "image_file_name")
_TEXTS = ("text", "caption", "prompt")
_MOST_LETTERS = 1 << 20
"""Of one field of a CSV."""


def metadata_files(source: Path) -> list[tuple[Path, str | None]]:
    """Return the metadata files of a folder, or of its folders of splits, with their split."""
    if source.is_file():
        return [(source, None)]
    for name in _NAMES:
        if (source / name).is_file():
            return [(source / name, None)]
    inner = [(source / split / name, _SPLITS.get(split, split)) for split in (*_SPLITS, "test") for name in _NAMES]
    return [(path, split) for path, split in inner if path.is_file()]


def import_imagefolder(source: Path, found: Found) -> None:
    """Find the pictures that metadata name, with other columns of pictures as references.

    A column whose name begins with `style` holds style references, any other what `Options.reference` says.

    Raises:
        UserError: no metadata, or a line without `file_name`.
    """
    files = metadata_files(source)
    if not files:
        raise UserError(f"{source} holds neither {' nor '.join(_NAMES)}; for bare pictures use `uso import pictures`")
    for path, split in files:
        _read(path, split, found)


def _read(path: Path, split: str | None, found: Found) -> None:
    rows = _csv(path) if path.suffix.lower() == ".csv" else json_objects(path)
    if not rows:
        raise UserError(f"{path} holds no line; expected one a picture")
    columns = list(dict.fromkeys(name for row in rows for name in row))
    target = next((name for name in _TARGETS if name in columns), None)
    if target is None:
        raise UserError(f"{path.name} has the columns {_listed(columns)} and no file_name; is this a Hugging Face set?")
    text = found.options.caption_column or next((name for name in _TEXTS if name in columns), None)
    if text is not None and text not in columns:
        raise UserError(f"{path.name} has the columns {_listed(columns)}, and no {quoted(text)}; correct the name")
    if text is None and len(columns) > 1:
        found.note(f"{path.name} has no column text: name one of {_listed(columns)} with --caption-column")
    pictures = [name for name in columns if name != target and name != text and _holds_pictures(rows, name)]
    found.unused([name for name in columns if name not in (target, text, *pictures)], path.name)
    items = []
    for number, row in enumerate(rows, start=1):
        place = f"{path.name} row {number}"
        main = found.place(path.parent, row.get(target), place)
        named = {name: [found.place(path.parent, one, place) for one in _many(row.get(name))] for name in pictures}
        caption = row.get(text) if text is not None else None
        if not isinstance(caption, str | None):
            raise UserError(f"{place} has {text} = {quoted(caption)}, expected a text")
        if main is None or any(one is None for each in named.values() for one in each):
            continue
        style = [one for name, each in named.items() if name.startswith("style") for one in each if one is not None]
        others = [one for name, each in named.items() if not name.startswith("style") for one in each if one]
        items.append(Item(main, (caption or "").strip(), others, style, group=str(path.parent), split=split))
    if not any(item.style or item.references for item in items):
        items = [item._replace(references=None) for item in items]
    found.items += items


def _csv(path: Path) -> list[dict[str, Any]]:
    csv.field_size_limit(_MOST_LETTERS)
    try:
        reader = csv.DictReader(StringIO(read_text(path, "correct the path")), strict=True)
        rows = [{name: value or None for name, value in row.items()} for row in reader]
    except csv.Error as error:
        raise UserError(
            f"{path.name} is no table of comma-separated values ({quoted(error)}); save it again"
        ) from error
    if any(None in row for row in rows):
        raise UserError(f"{path.name} has a line with more fields than its first; put texts with commas in quotes")
    return rows


def _holds_pictures(rows: Sequence[Mapping[str, Any]], name: str) -> bool:
    """Whether a column holds names of pictures and nothing else."""
    values = [one for row in rows for one in _many(row.get(name))]
    return bool(values) and all(isinstance(one, str) and Path(one).suffix.lower() in PICTURE_SUFFIXES for one in values)


def _many(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _listed(columns: Sequence[str]) -> str:
    return ", ".join(map(quoted, columns))
