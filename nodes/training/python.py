"""The Python that trains: ComfyUI's own or another one, and whether it has what training needs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path, PureWindowsPath

import folder_paths

from ...trainer.install_line import install_line
from ...uso_model.errors import UserError
from ...uso_model.untrusted import named, quoted

__all__ = ["NEEDED", "require_packages", "training_python"]

NEEDED = {
    "torch": "torch",
    "einops": "einops",
    "safetensors": "safetensors",
    "transformers": "transformers",
    "numpy": "numpy",
    "PIL": "pillow",
    "accelerate": "accelerate",
    "peft": "peft",
    "pydantic": "pydantic>=2",
    "filelock": "filelock>=3.13",
    "yaml": "pyyaml",
    "tqdm": "tqdm",
    "psutil": "psutil",
}
"""Modules that `uso train` imports, and what pip knows each by."""

_PROBE = (
    "import importlib.util, json, sys;"
    "print(json.dumps([name for name in sys.argv[1:] if importlib.util.find_spec(name) is None]))"
)
_SECONDS = 120


def training_python(typed: str) -> str:
    """Return the Python of a text: the one that runs ComfyUI for an empty one, that of an environment for its folder.

    Raises:
        UserError: there is none, or it lies where a graph or a stranger may have put it.
    """
    text = typed.strip().strip('"')
    if not text:
        return sys.executable
    # A graph comes from strangers, so it starts nothing but a Python, none of a share, and none that was uploaded.
    if PureWindowsPath(text).drive.startswith("\\\\"):
        raise _misplaced(typed)
    # Those of `os`, as pathlib's own raise: for a user who is unknown, a folder that may not be read, and a long name.
    path = Path(os.path.expanduser(text))
    inner = ("bin/python", "Scripts/python.exe", "python.exe")
    found = next((path / name for name in inner if os.path.isfile(path / name)), path)
    if not found.is_absolute() or not os.path.isfile(found) or not found.name.lower().startswith("python"):
        raise UserError(
            f"Got the python {quoted(typed)!r}, expected the full path of a Python or of an environment's folder: "
            "correct it, or leave it empty for ComfyUI's own."
        )
    parents = {*Path(os.path.abspath(found)).parents, *found.resolve().parents}
    places = (folder_paths.get_directory_by_type(kind) for kind in ("input", "output", "temp"))
    if any(parent.samefile(place) for place in places if os.path.isdir(place) for parent in parents):
        raise _misplaced(typed)
    return os.fspath(found)


def _misplaced(typed: str) -> UserError:
    return UserError(
        f"Got the python {quoted(typed)!r}, expected one that lies neither on a network share nor under ComfyUI's "
        "input, output or temp: install it elsewhere, or leave it empty for ComfyUI's own."
    )


def require_packages(python: str, needed: Sequence[str] = tuple(NEEDED)) -> None:
    """Make sure that a Python has the packages that training needs.

    Raises:
        UserError: it lacks some, or does not run.
    """
    try:
        done = subprocess.run(
            [python, "-c", _PROBE, *needed], capture_output=True, text=True, timeout=_SECONDS, check=True
        )
        missing = json.loads(done.stdout.splitlines()[-1])
    except (OSError, subprocess.SubprocessError, ValueError, IndexError) as error:
        said = (getattr(error, "stderr", "") or str(error)).strip().splitlines()
        raise UserError(
            f"The python {named(python)} does not run ({quoted(said[-1] if said else type(error).__name__)}): name "
            "another one, or leave it empty for ComfyUI's own."
        ) from error
    if missing:
        raise UserError(
            f"Training needs {', '.join(missing)}, which {named(python)} does not have: run "
            f"{install_line(python, [NEEDED[name] for name in missing])}, then queue again."
        )
