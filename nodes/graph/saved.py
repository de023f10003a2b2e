"""Files under ComfyUI's output, as its page is told of them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import folder_paths
from comfy_api.latest import io, ui

__all__ = ["saved_result"]


def saved_result(path: Path) -> Any:
    """Return a saved picture as the page is told of it."""
    inner = os.path.relpath(path.parent, Path(folder_paths.get_output_directory()).absolute())
    return ui.SavedResult(path.name, Path(inner).as_posix(), io.FolderType.output)
