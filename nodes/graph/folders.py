"""What ComfyUI's model folders offer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import folder_paths

__all__ = ["AUTO", "BUNDLED", "chosen_files", "safetensors_files"]

AUTO = "auto"
"""Choice of the file that is found by its keys."""
BUNDLED = "bundled"
"""Choice of the file that comes with the pack."""


def safetensors_files(folder: str) -> list[str]:
    """Return the files of one of ComfyUI's model folders that could be read."""
    return [name for name in folder_paths.get_filename_list(folder) if name.lower().endswith((".safetensors", ".sft"))]


def chosen_files(names: Mapping[str, Iterable[str | None]]) -> list[tuple[str, int, int]]:
    """Return path, time and size of files, which change when a file does; one that is not there is left out.

    Args:
        names: folder -> files in it; None for one whose name comes over a link, which ComfyUI does not know yet.
    """
    known = [(folder, name) for folder, files in names.items() for name in files if name is not None]
    found = [folder_paths.get_full_path(folder, name) for folder, name in known]
    paths = [Path(path) for path in found if path]
    return [(str(path), path.stat().st_mtime_ns, path.stat().st_size) for path in paths]
