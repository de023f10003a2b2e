"""Where sets of triplets are: under ComfyUI's output folder, and to read also under its input folder."""

from __future__ import annotations

import os
from pathlib import Path

import folder_paths

from ...uso_model.errors import UserError
from ...uso_model.untrusted import quoted
from .plain_names import plain_name

__all__ = ["SETS", "all_manifests", "found_manifest", "set_folder", "set_manifest", "set_name"]

SETS = "uso_sets"
"""Folder under ComfyUI's output."""
_MOST_BYTES = 100
"""Of a set's name; Windows takes 260 characters of a whole path, of which the name of a picture uses 80."""
_MOST_BYTES_READ = 1000
_LISTED = 5
_IN_A_SET = {"pictures", "journal", "cache"}
"""Folders within a set that hold no sets, but many files."""


def set_folder(name: str) -> Path:
    """Return the folder of the set that a user names.

    Raises:
        UserError: see `set_name`.
    """
    return _sets() / set_name(name, "a set", _MOST_BYTES)


def set_name(name: str, what: str, most: int) -> str:
    """Return the name of a set as its folder has it; see `plain_name`.

    Raises:
        UserError: no folder could have the name on every system, or a set keeps its files under it.
    """
    from ...trainer.data.names import MANIFEST  # not above: ComfyUI loads the pack without the trainer

    clean, own = plain_name(name, what, most), {MANIFEST, *_IN_A_SET}
    if any(part.casefold() in own for part in clean.split("/")[1:]):
        raise UserError(
            f"Got the name {quoted(clean)!r} for {what}, expected none of {', '.join(sorted(own))} behind a slash, "
            "where sets keep their own files: choose another."
        )
    return clean


def set_manifest(name: str) -> Path:
    """Return the manifest of a set by its name, or by the path of its folder under ComfyUI's output or input.

    Raises:
        UserError: no path within these folders, or there is no manifest.
    """
    found = found_manifest(name)
    if found is not None:
        return found
    sets = [path.parent.relative_to(_sets()).as_posix() for path in all_manifests()]
    more = f" and {len(sets) - _LISTED} more" if len(sets) > _LISTED else ""
    there = f"{', '.join(map(quoted, sets[:_LISTED]))}{more}" if sets else "none yet"
    raise UserError(
        f"Got the set {quoted(name)!r}, expected one of output/{SETS} ({there}), or a folder under output or input "
        "with a manifest.jsonl: save a triplet into it with USO Save Triplet, or correct the name."
    )


def found_manifest(name: str) -> Path | None:
    """Return the manifest of a set, or the one that is named itself; None where there is none.

    Raises:
        UserError: no path within ComfyUI's folders.
    """
    from ...trainer.data.names import MANIFEST  # see above

    clean = plain_name(name, "a set", _MOST_BYTES_READ)
    for place in (_sets(), Path(folder_paths.get_output_directory()), Path(folder_paths.get_input_directory())):
        path = place / clean
        for manifest in (path / MANIFEST, path):  # a set's name may end in .jsonl, too
            # pathlib's own isfile raises where a name is longer than the system has them
            if manifest.suffix == ".jsonl" and os.path.isfile(manifest):
                return manifest
    return None


def all_manifests() -> list[Path]:
    """Return the manifests of all sets under ComfyUI's output, in the order of their names."""
    from ...trainer.data.names import MANIFEST  # see above

    found = []
    for folder, inner, files in os.walk(_sets()):
        if MANIFEST in files:
            inner[:] = [name for name in inner if name not in _IN_A_SET]
            found.append(Path(folder, MANIFEST))
    return sorted(found)


def _sets() -> Path:
    return Path(folder_paths.get_output_directory(), SETS).absolute()
