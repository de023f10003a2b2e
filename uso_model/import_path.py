"""Objects that a setting names by import path, `package.module:object`."""

from __future__ import annotations

import importlib
from typing import Any

from .errors import UserError

__all__ = ["PACK", "imported"]

PACK = __package__.rpartition(".")[0]
"""Name under which this pack was imported; ComfyUI gives it another one than pip."""

_INSTALLED = "comfyui_uso"


def imported(path: str, what: str, cure: str) -> Any:
    """Return the object of an import path; `comfyui_uso` stands for this pack under whatever name it was imported.

    Args:
        path: `package.module:object`.
        what: what the object should be, for messages.
        cure: what to do when there is none, in the imperative.

    Raises:
        UserError: it is no such path, or there is no such module or object.
    """
    module, _, name = path.partition(":")
    if not all(part.isidentifier() for part in (*module.split("."), name)):
        raise UserError(f"got the {what} {path[:80]!r}, expected an import path package.module:object")
    if module.split(".")[0] == _INSTALLED:
        module = PACK + module.removeprefix(_INSTALLED)
    try:
        found = getattr(importlib.import_module(module), name, None)
    except ModuleNotFoundError as error:
        if error.name is None or not (module == error.name or module.startswith(f"{error.name}.")):
            raise  # something that the object itself needs
        raise UserError(f"there is no module {error.name} for the {what} {path}; {cure}") from error
    if found is None:
        raise UserError(f"there is no {name} in {module} for the {what} {path}; {cure}")
    return found
