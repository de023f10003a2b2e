"""Pictures that a file of JSON Lines names: the targets of a triplet manifest, or any list of pictures."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from ....uso_model.errors import UserError
from ....uso_model.untrusted import Line, json_lines, quoted
from ...data.manifest import scan_manifest
from ...data.names import MANIFEST
from ...data.roots import ROOTS, Roots
from .source import Picture, about, file_fingerprint, read_file

__all__ = ["manifest_pictures"]

_PATHS = ("path", "image", "file_name", "image_path", "picture", "file")


def manifest_pictures(path: Path, style: str = "folder") -> Iterator[Picture | str]:
    """Yield the pictures that a manifest names, and in place of one that is refused the reason, with its line.

    Its lines are those of the trainer (`trainer/data/manifest.py`), or objects with a path and what is known of the
    picture, such as `{"path": "a.png", "prompt": "a cat", "style": "ink"}`. Pictures lie in its folder or in a root
    that its first line states. A target of several triplets comes once.

    Args:
        path: the file, or a folder that holds a `manifest.jsonl`.
        style: key of the style group; `folder`: the folder of the picture.

    Raises:
        UserError: the file is absent or no text.
    """
    path = path / MANIFEST if path.is_dir() else path
    first = next((line.value for line in json_lines(path) if not _states_roots(line.value)), None)
    found = _of_triplets(path) if isinstance(first, dict) and "target" in first else _of_list(path)
    seen: set[str] = set()
    for one in found:
        if isinstance(one, str):
            yield one
            continue
        file, key, said = one
        if key in seen:
            continue
        seen.add(key)
        try:
            fingerprint = file_fingerprint(file.stat())
        except (OSError, ValueError):
            fingerprint = "absent"  # another one when it is there
        folder = key.rpartition("/")[0]
        yield Picture(key, fingerprint, about(said, style, folder), partial(read_file, file))


def _states_roots(value: Any) -> bool:
    return isinstance(value, dict) and ROOTS in value


_Named = tuple[Path, str, dict[str, Any]]
"""A picture's file, its key, and what is said of it."""


def _of_triplets(path: Path) -> Iterator[_Named | str]:
    folder = path.parent.absolute()
    for row in scan_manifest(path):
        if isinstance(row, str):
            yield row
        else:
            yield row.target, _key(row.target, folder), {"prompt": row.prompt, "split": row.split}


def _key(picture: Path, folder: Path) -> str:
    """Return a name that stays when the manifest and its roots are moved together."""
    try:
        return Path(os.path.relpath(picture, folder)).as_posix()
    except ValueError:  # another drive
        return picture.as_posix()


def _of_list(path: Path) -> Iterator[_Named | str]:
    roots = Roots(path.parent)
    for number, line in enumerate(json_lines(path)):
        if not number and _states_roots(line.value) and not _path(line.value):
            try:
                roots = Roots.read(path.parent, line.value[ROOTS], line.place)
            except UserError as error:
                yield str(error)
            continue
        yield line.problem or _listed(line, roots)


def _listed(line: Line, roots: Roots) -> _Named | str:
    name = _path(line.value)
    if not name:
        return f"{line.place} names no picture; expected an object with one of {', '.join(_PATHS)}"
    problem = roots.problem(Path(name))
    if problem:
        return f"{line.place} names {quoted(name)}, which {problem}"
    return roots.path(Path(name)), Path(name).as_posix(), line.value


def _path(value: Any) -> str:
    found = (value.get(key) for key in _PATHS) if isinstance(value, dict) else ()
    return next((name for name in found if isinstance(name, str) and name), "")
