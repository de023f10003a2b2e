"""A short name for the contents of a model file or folder, quick on ten gigabytes."""

from __future__ import annotations

import hashlib
from pathlib import Path

from ...uso_model.errors import UserError
from ...uso_model.untrusted import regular_file

__all__ = ["fingerprint"]

_SAMPLES, _PIECE = 64, 4096
_SUFFIXES = {".safetensors", ".json", ".model", ".txt"}
"""Weights, settings and vocabularies in a folder."""


def fingerprint(path: Path) -> str:
    """Return 16 hex digits from the size, the start, and 64 evenly spread pieces of a file, or of a folder's files.

    The start of a safetensors file holds all names, shapes and types; the pieces tell trainings apart. The path is no
    part of it, so that a model may be moved or renamed.

    Raises:
        UserError: there is no file at the path, or no model in the folder.
    """
    folder = path.is_dir()
    files = sorted(file for file in path.rglob("*") if file.suffix in _SUFFIXES) if folder else [path]
    if not files or not all(file.is_file() for file in files):
        what = "has no files of a model in it" if folder else "is not there"
        raise UserError(f"{path} {what}; correct the path in the recipe")
    for file in files:
        regular_file(file, "correct the path in the recipe")
    parts = hashlib.sha256()
    for file in files:
        size = file.stat().st_size
        name = file.relative_to(path).as_posix() if folder else ""
        parts.update(f"{name} {size}\n".encode())
        with file.open("rb") as opened:
            for n in range(_SAMPLES + 1):
                opened.seek(n * max(0, size - _PIECE) // _SAMPLES)
                parts.update(opened.read(_PIECE))
    return parts.hexdigest()[:16]
