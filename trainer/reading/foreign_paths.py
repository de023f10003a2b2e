"""Paths of another system: what is typed on Linux as Windows has it would become a file of that odd name."""

from __future__ import annotations

import os
import re
from pathlib import Path

from ...uso_model.untrusted import named

__all__ = ["foreign_path"]

_WINDOWS = re.compile(r"[A-Za-z]:[\\/].*|\\\\\w.*|[^\\/'\"][^\\/]*(\\[^\\/]+)+", re.DOTALL)
_ABSOLUTE = re.compile(r"[A-Za-z]:[\\/].*|\\\\\w.*", re.DOTALL)
_ELSEWHERE = re.compile(r"/(mnt/[a-z]|home|Users|workspace)/.*", re.DOTALL)


def foreign_path(text: str, certain: bool = False) -> str | None:
    """Say that a path is written as another system has it, None where it is not, or something of that name is there.

    Args:
        text: the path.
        certain: judge by a drive or a share alone; a backslash may stand in any text.
    """
    if os.name == "nt":
        pattern, system, cure = _ELSEWHERE, "Linux or macOS", "write it with its drive, as in C:\\pictures"
    else:
        pattern = _ABSOLUTE if certain else _WINDOWS
        system, cure = "Windows", "write where it is on this system (under WSL, C:\\pictures is /mnt/c/pictures)"
    if not pattern.fullmatch(text) or _is_there(text):
        return None
    return f"{named(text)} is a path of {system}; {cure}"


def _is_there(text: str) -> bool:
    try:
        return Path(text).exists()
    except (OSError, ValueError):
        return False
