"""Triplet manifests, such as that of a folder export, become another manifest that names the same pictures."""

from __future__ import annotations

from pathlib import Path

from ..manifest import read_manifest
from ..names import MANIFEST
from .found import Found, Item

__all__ = ["import_manifest"]


def import_manifest(source: Path, found: Found) -> None:
    """Find the rows of a manifest, or of that in a folder.

    Raises:
        UserError: there is none, or a row is wrong.
    """
    path = source / MANIFEST if source.is_dir() else source
    found.items += map(Item.of, read_manifest(path, None))
    found.note(f"{path} is a triplet manifest already: `uso check` and `uso train` read it as it is")
