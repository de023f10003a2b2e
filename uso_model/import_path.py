"""Objects named by import path, `package.module:object`, as recipes and command lines have them."""

from __future__ import annotations

import importlib
from typing import Any

from .errors import UserError
from .untrusted import quoted

__all__ = ["PACK", "is_import_path", "object_at"]

PACK = __package__.rpartition(".")[0]
"""Name under which this pack was imported; ComfyUI gives it another one than pip."""

_INSTALLED = "comfyui_uso"


def is_import_path(name: str) -> bool:
    """Say whether a name has the form `package.module:object`."""
    module, _, last = name.partition(":")
    return all(part.isidentifier() for part in (*module.split("."), last))


def object_at(path: str, what: str, cure: str) -> Any:
    """Import an object by its path.

    Args:
        path: `package.module:object`.
        what: it should be, such as `family`.
        cure: what to do when it is none, in the imperative.

    Raises:
        UserError: there is no such module or object.
    """
    if not is_import_path(path):
        raise UserError(f"got the {what} {quoted(path)!r}, expected an import path package.module:object")
    module, _, name = path.partition(":")
    if module.split(".")[0] == _INSTALLED:
        module = PACK + module.removeprefix(_INSTALLED)
    try:
        found = getattr(importlib.import_module(module), name, None)
    except ModuleNotFoundError as error:
        if error.name is None or not (module == error.name or module.startswith(f"{error.name}.")):
            raise  # something that the module itself needs
        raise UserError(f"there is no module {error.name} for the {what} {path}; {cure}") from error
    if found is None:
        raise UserError(f"there is no {name} in {module} for the {what} {path}; {cure}")
    return found
