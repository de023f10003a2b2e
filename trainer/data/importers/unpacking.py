"""Rows of archives: their pictures are written to files under the hashes of their bytes, never under their names.

The archives are those that `uso curate export` writes, of which nothing is lost, or any that hold pictures: then the
first one is the target, and what begins with `style` or `content` is that.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ....uso_model.errors import UserError
from ....uso_model.untrusted import quoted
from ....uso_model.writing import atomic_write
from ..manifest import Row
from ..names import PICTURES
from ..pictures import picture_ending
from .found import Found, Item

__all__ = ["add_unpacked", "put_in_order"]

_FIELDS = ("id", "layout", "prompt", "scores", "split", "weight")
_TEXTS = ("prompt", "caption", "text")


def add_unpacked(
    found: Found, folder: Path, key: str, group: str, said: Mapping[str, Any], pictures: Iterable[tuple[str, bytes]]
) -> None:
    """Add the row of a sample.

    Args:
        found: what is added to.
        folder: of the archive.
        key: of the sample, for messages, and its id where it has none.
        group: of samples that share a style or a subject.
        said: what it says of itself; of an export these are fields of a row.
        pictures: name and bytes of each, in order.

    Raises:
        UserError: a field of a row is wrong.
        OSError: a picture cannot be written.
    """
    parts: dict[str, list[Path]] = {"target": [], "style": [], "content": [], "": []}
    for name, data in pictures:
        path = _unpacked(found.options.unpacked or folder / PICTURES, data)
        if path is None:
            found.skipped["samples with a picture that cannot be read"] += 1
            return
        parts[next((part for part in parts if part and name.startswith(part)), "")].append(path)
    if not parts["target"] and not parts[""]:
        found.skipped["samples without a target"] += 1
        return
    target, *others = [*parts["target"], *parts[""]]
    prompt = next((text for name in _TEXTS if isinstance(text := said.get(name), str)), "")
    told = {name: said[name] for name in _FIELDS if said.get(name) is not None} if parts["target"] else {}
    contents = [*parts["content"], *others]
    fields = {"id": key, "prompt": prompt.strip(), **told}
    try:
        row = Row.model_validate({**fields, "target": target, "style": parts["style"], "content": contents})
    except (ValidationError, OverflowError) as error:
        wrong = _wrong(error) if isinstance(error, ValidationError) else quoted(error)
        raise UserError(f"{quoted(key)} is no triplet ({wrong}); export it again") from error
    alone = not contents and not row.style and "id" not in told
    item = Item.of(row)._replace(group=group, split=row.split if "split" in told else None)
    if "id" in told and isinstance(number := said.get("number"), int):
        item = item._replace(number=number)
    found.items.append(item._replace(references=None) if alone else item)


def put_in_order(found: Found) -> None:
    """Put the rows of an export in the order of its manifest; those of other archives stay as they are."""
    if all(item.number is not None for item in found.items):
        found.items.sort(key=lambda item: item.number or 0)


def _wrong(error: ValidationError) -> str:
    first = error.errors()[0]
    return quoted(f"{'.'.join(map(str, first['loc']))}: {first['msg']}")


def _unpacked(folder: Path, data: bytes) -> Path | None:
    """Write a picture under its hash and the ending of its format, and return where; None where it is none."""
    ending = picture_ending(data)
    if ending is None:
        return None
    sha256 = hashlib.sha256(data).hexdigest()
    path = folder.absolute() / sha256[:2] / f"{sha256}{ending}"
    if not path.is_file() or path.stat().st_size != len(data):
        atomic_write(path, lambda temporary: Path(temporary).write_bytes(data), durable=False)
    return path
