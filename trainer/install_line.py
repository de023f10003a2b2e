"""The line that installs what a Python lacks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PureWindowsPath

from ..uso_model.untrusted import argument

__all__ = ["extra_of_pack", "install_line"]

_PORTABLE = "python_embeded"
"""Folder of the Python in ComfyUI's portable release, as it is spelt there."""


def install_line(python: str, requirements: Sequence[str]) -> str:
    """Return the command that installs requirements for a Python, as sh, cmd.exe and PowerShell take it."""
    portable = _PORTABLE in PureWindowsPath(python).parts or _PORTABLE in Path(python).parts
    # `-s`, as ComfyUI's portable release starts: without it pip counts what the user has elsewhere as installed.
    options = ["-s"] if portable else []
    # Of a word in quotes both shells of Windows and sh take the brackets of an extra as they are.
    return " ".join([argument(python), *options, "-m pip install", *map(argument, requirements)])


def extra_of_pack(extra: str) -> list[str]:
    """Return the requirement of this pack with an extra, as words of pip."""
    return ["-e", f"{Path(__file__).absolute().parents[1]}[{extra}]"]
