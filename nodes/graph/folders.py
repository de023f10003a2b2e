"""What ComfyUI's model folders offer."""

from __future__ import annotations

import folder_paths

__all__ = ["AUTO", "safetensors_files"]

AUTO = "auto"
"""Choice of the file that is found by its keys."""


def safetensors_files(folder: str) -> list[str]:
    """Return the files of one of ComfyUI's model folders that could be read."""
    return [name for name in folder_paths.get_filename_list(folder) if name.lower().endswith((".safetensors", ".sft"))]
