"""Folders of training under ComfyUI's own: where pictures may lie, and where sets, runs and recipes are."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import folder_paths

from ...mini.example_pictures import TRAINING_PICTURES
from ...uso_model.errors import UserError
from ...uso_model.picture_formats import PICTURE_SUFFIXES
from ...uso_model.untrusted import quoted
from ..graph.set_folders import SETS

__all__ = ["EXAMPLE", "NONE", "ROOT", "picture_folder", "picture_folders", "training_folder"]

ROOT = "uso_training"
"""Folder under ComfyUI's output."""
NONE, EXAMPLE = "none", "example"
"""Choices beside the folders: no folder, and the pictures that come with the pack."""

_DEEPEST, _MOST = 4, 500
_LISTED = 5
_ENDINGS = tuple(PICTURE_SUFFIXES)


class _Seen(NamedTuple):
    """What a folder held when it was last looked into."""

    changed: int
    inner: tuple[str, ...]
    has_pictures: bool


_KNOWN: dict[str, _Seen] = {}
"""Folders that were looked into: the page asks for the list often, and output may hold very many pictures."""


def training_folder(*parts: str) -> Path:
    """Return a folder of training under ComfyUI's output, which need not be there."""
    return Path(folder_paths.get_output_directory(), ROOT, *parts).absolute()


def picture_folders() -> list[str]:
    """Return the folders under ComfyUI's input and output that hold pictures, such as `input/my cats`."""
    found: list[str] = []
    for name, place in _places().items():
        _walk(name, str(place), _DEEPEST, found)
    return found


def picture_folder(choice: str) -> Path:
    """Return the folder of a choice.

    Raises:
        UserError: there is none of that name under ComfyUI's input or output.
    """
    if choice == EXAMPLE:
        return TRAINING_PICTURES
    text = str(choice)  # a graph may hold a number
    path = (_within(text) if os.sep == "/" else None) or _within(text.replace("\\", "/"))
    if path is None:
        there = picture_folders()
        more = f" and {len(there) - _LISTED} more" if len(there) > _LISTED else ""
        raise UserError(
            f"Got the folder {quoted(choice)!r}, expected {EXAMPLE} or a folder under ComfyUI's input or output "
            f"({', '.join(map(quoted, there[:_LISTED])) or 'none has pictures yet'}{more}): put the pictures there, or "
            "correct the name."
        )
    return path


def _within(text: str) -> Path | None:
    """Return the folder of a path from `input` or `output` on with `/` between its parts, if there is one."""
    first, *inner = text.strip("/").split("/")
    place = _places().get(first)
    if place is None or not all(part.strip() and part not in (".", "..") and "\0" not in part for part in inner):
        return None
    path = place.joinpath(*inner)
    # On Windows a part such as `C:` would lead elsewhere.
    return path if path.is_relative_to(place) and os.path.isdir(path) else None


def _places() -> dict[str, Path]:
    return {
        "input": Path(folder_paths.get_input_directory()).absolute(),
        "output": Path(folder_paths.get_output_directory()).absolute(),
    }


def _walk(name: str, path: str, deeper: int, found: list[str]) -> None:
    """Add a folder and those in it, each with its name from `input` or `output` on."""
    if len(found) >= _MOST:
        return
    seen = _look(path)
    if seen.has_pictures:
        found.append(name)
    for inner in seen.inner if deeper else ():
        # A set keeps its files under hashes, and training its own.
        if (name, inner) not in (("output", SETS), ("output", ROOT)):
            _walk(f"{name}/{inner}", os.path.join(path, inner), deeper - 1, found)


def _look(path: str) -> _Seen:
    try:
        changed = os.stat(path).st_mtime_ns
        known = _KNOWN.get(path)
        if known is not None and known.changed == changed:
            return known
        with os.scandir(path) as entries:
            there = [entry for entry in entries if not entry.name.startswith(".")]
        inner = tuple(sorted(entry.name for entry in there if entry.is_dir()))
    except OSError:  # no folder, or one that may not be read
        return _Seen(0, (), False)
    _KNOWN[path] = _Seen(changed, inner, any(entry.name.lower().endswith(_ENDINGS) for entry in there))
    return _KNOWN[path]
