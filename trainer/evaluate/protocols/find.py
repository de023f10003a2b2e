"""Protocols by name: the YAML files beside this module, or objects by import path."""

from __future__ import annotations

from pathlib import Path

from ....uso_model.errors import UserError
from ....uso_model.import_path import is_import_path, object_at
from ....uso_model.untrusted import quoted
from ...reading.errors import Origin
from ...reading.values import read_yaml, validated
from .dreambench import DreamBench
from .listed import Listed
from .protocol import BenchProtocol

__all__ = ["find_protocol", "protocol_names"]

_FOLDER = Path(__file__).parent
_LAYOUTS: dict[str, type[DreamBench] | type[Listed]] = {"dreambench": DreamBench, "list": Listed}


def protocol_names() -> list[str]:
    """Return the names of the protocols that have a file."""
    return sorted(path.stem for path in _FOLDER.glob("*.yaml"))


def find_protocol(name: str) -> BenchProtocol:
    """Return the protocol of a name, or of an import path.

    Raises:
        UserError: there is none.
    """
    if name in protocol_names():
        path = _FOLDER / f"{name}.yaml"
        values = read_yaml(path)
        return validated(_LAYOUTS[values["layout"]], {**values, "name": name}, Origin(path.name, path, []))
    if not is_import_path(name):
        known = ", ".join(protocol_names())
        raise UserError(
            f"got the protocol {quoted(name)}, expected one of {known}, or an import path package.module:object"
        )
    found = object_at(name, "protocol", "correct it")
    if not isinstance(found, BenchProtocol):
        raise UserError(f"{name} is no protocol; name an object that has a name and a method build")
    return found
