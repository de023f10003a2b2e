"""Rows from other trainers' data sets: UNO's JSON, ai-toolkit's folders, musubi-tuner's JSON Lines, bare pictures.

Formats: bytedance/UNO, uno/dataset/uno.py (FluxPairedDatasetV2); ostris/ai-toolkit, toolkit/dataloader_mixins.py
(`ControlFileItemDTOMixin`, captions); kohya-ss/musubi-tuner, docs/dataset_config.md.
"""

from __future__ import annotations

import logging
import os
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any, Literal

from ...uso_model.errors import UserError
from ...uso_model.images import PICTURE_SUFFIXES
from ...uso_model.untrusted import json_lines, parse_json, quoted, read_text
from .manifest import Row

__all__ = ["import_ai_toolkit", "import_musubi", "import_pictures", "import_rows", "import_uno"]

logger = logging.getLogger(__name__)

Reference = Literal["content", "style"]
"""What the reference pictures of a data set are to USO."""

_PARTNERS = 16
_CONTROL = re.compile(r"control_path(?:_([0-9]{1,6}))?")


def import_rows(kind: str, source: Path, reference: Reference = "content", control: Path | None = None) -> list[Row]:
    """Return the rows of another trainer's data set, with absolute paths.

    Args:
        kind: `uno`, `ai-toolkit`, `musubi` or `pictures`.
        source: the file of `uno` and `musubi`, the folder of targets of `ai-toolkit` and `pictures`.
        reference: what its references are. A row has one content reference at most: of several the first is taken.
        control: kind `ai-toolkit`: folder of references.

    Raises:
        UserError: the source is absent, empty or of another format.
    """
    if kind == "ai-toolkit":
        if control is None:
            raise UserError("ai-toolkit needs the folder of its references too; name it with --control")
        return import_ai_toolkit(source, control, reference)
    if control is not None:
        raise UserError(f"--control is for ai-toolkit; a data set of kind {kind} names its references itself")
    of_kind = {"uno": import_uno, "musubi": import_musubi, "pictures": import_pictures}
    if kind not in of_kind:
        raise UserError(f"got the kind {kind!r}, expected ai-toolkit or one of {', '.join(of_kind)}")
    return of_kind[kind](source, reference)


def import_uno(path: Path, reference: Reference = "content") -> list[Row]:
    """Return the items of UNO's JSON: `prompt`, `image_path` or `image_paths`, `image_tgt_path`.

    Raises:
        UserError: no list of such items, with the number of the first wrong one.
    """
    items = parse_json(_text(path), path.name)
    if not isinstance(items, list):
        raise UserError(f"{path.name} holds {type(items).__name__}, expected a JSON list of items as UNO reads it")
    found = []
    for number, item in enumerate(items, start=1):
        place = f"{path.name} item {number}"
        target = path.parent / _string(item, "image_tgt_path", place)
        if "image_path" in item:
            references = [_string(item, "image_path", place)]
        else:
            references = item.get("image_paths")
            if not isinstance(references, list) or not all(isinstance(name, str) for name in references):
                raise UserError(f"{place} has neither image_path nor a list image_paths; is this a file of UNO?")
        found.append((target, [path.parent / name for name in references], _string(item, "prompt", place)))
    return _rows(found, path.parent, reference, path.name)


def import_ai_toolkit(targets: Path, control: Path, reference: Reference = "content") -> list[Row]:
    """Return the pictures of a folder, each with the picture of the same name in the folder `control`.

    Captions are `.txt` files of the same name beside the targets.

    Raises:
        UserError: no picture, or a picture without reference.
    """
    references = {picture.stem: picture for picture in _pictures(control)}
    found = []
    for target in _pictures(targets):
        if target.stem not in references:
            raise UserError(f"{target.name} has no picture of the same name in {control}; add it or move the target")
        found.append((target, [references[target.stem]], _caption(target)))
    return _rows(found, targets, reference, str(targets))


def import_musubi(path: Path, reference: Reference = "content") -> list[Row]:
    """Return the lines of musubi-tuner's JSON Lines: `image_path`, `caption`, `control_path` or `control_path_0..n`.

    Raises:
        UserError: a line is no such object, with its number.
    """
    found = []
    for line in json_lines(path):
        if line.problem is not None:
            raise UserError(line.problem)
        item, place = line.value, line.place
        target = _string(item, "image_path", place)
        controls = [(int(match[1] or 0), key) for key in item if (match := _CONTROL.fullmatch(key))]
        references = [_string(item, key, place) for _, key in sorted(controls)]
        caption = _string(item, "caption", place)
        found.append((_beside(path, target), [_beside(path, name) for name in references], caption))
    return _rows(found, path.parent, reference, path.name)


def import_pictures(folder: Path, reference: Reference = "style") -> list[Row]:
    """Return the pictures of a folder that share a style or a subject, with other ones of them as references.

    The references of a picture are the sixteen that follow it in the order of names, or all others where there are
    fewer: as styles in one row, of which training draws, as contents in a row each. Captions are `.txt` files of the
    same name.

    Raises:
        UserError: fewer than two pictures.
    """
    targets = _pictures(folder)
    if len(targets) < 2:
        raise UserError(f"{folder} holds one picture; a reference has to be another one, so put two or more there")
    found: list[tuple[Path, list[Path], str]] = []
    for number, target in enumerate(targets):
        others = (targets[number + 1 :] + targets[:number])[:_PARTNERS]
        caption = _caption(target)
        found += [(target, others, caption)] if reference == "style" else [(target, [one], caption) for one in others]
    return _rows(found, folder, reference, str(folder))


def _rows(
    found: Sequence[tuple[Path, Sequence[Path], str]], folder: Path, reference: Reference, source: str
) -> list[Row]:
    """Return rows of targets, references and prompts; ids are the targets' names."""
    if not found:
        raise UserError(f"{source} holds no row; check the source")
    spare = sum(len(references) > 1 for _, references, _ in found)
    if reference == "content" and spare:
        logger.warning(
            "%d of %d rows of %s have several references; USO's trainer takes one content picture a row, the first",
            spare,
            len(found),
            source,
        )
    seen: set[str] = set()
    numbers: defaultdict[str, Iterator[int]] = defaultdict(lambda: count(2))
    rows = []
    for target, references, prompt in found:
        place = Path(os.path.relpath(target, folder))
        if place.name in ("", ".."):
            raise UserError(f"{source} names the target {quoted(target)}, which is no file; is this the right source?")
        name = row_id = place.with_suffix("").as_posix()
        while row_id in seen:
            row_id = f"{name}#{next(numbers[name])}"
        seen.add(row_id)
        pictures = [picture.absolute() for picture in references]
        styles, contents = (pictures, []) if reference == "style" else ([], pictures)
        content = contents[0] if contents else None
        rows.append(Row(id=row_id, target=target.absolute(), style=styles, content=content, prompt=prompt))
    return rows


def _beside(file: Path, name: str) -> Path:
    """Return a path that musubi looks for in the working folder first; here the folder of the file comes first."""
    beside = file.parent / name
    return Path(name) if not _is_there(beside) and _is_there(Path(name)) else beside


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a name that no file can have
        return False


def _pictures(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise UserError(f"{folder} is no folder; give the folder of the pictures")
    pictures = sorted(path for path in folder.iterdir() if path.suffix.lower() in PICTURE_SUFFIXES)
    if not pictures:
        endings = ", ".join(sorted(PICTURE_SUFFIXES))
        raise UserError(f"{folder} holds no picture ({endings}); give the folder of the pictures")
    return pictures


def _caption(picture: Path) -> str:
    text = picture.with_suffix(".txt")
    return _text(text).strip() if _is_there(text) else ""


def _text(path: Path) -> str:
    return read_text(path, "correct the path")


def _string(item: Any, key: str, place: str) -> str:
    if not isinstance(item, dict) or not isinstance(item.get(key), str):
        raise UserError(f"{place} has no text {key!r}; is this a file of another trainer?")
    return item[key]
