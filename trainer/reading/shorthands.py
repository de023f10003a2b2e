"""Short ways to say several settings: `name` is the run's folder, `data` with a folder its manifest and cache."""

from __future__ import annotations

import os
from collections.abc import Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import Any

from ...uso_model.errors import UserError
from ...uso_model.untrusted import quoted
from ..data.names import MANIFEST
from .command_line import COMMAND_LINE, require_pairs
from .errors import shortened
from .yaml_text import BROKEN_YAML, parse_yaml

__all__ = ["RUNS", "short_settings", "short_texts", "written_out"]

RUNS = Path("runs")
"""Folder of the runs that have a name."""

CACHE = "cache"
"""Name of the cache in a folder of data."""

_NEVER_IN_NAMES = set('<>:"/\\|?*') | {chr(code) for code in range(32)}
_DEVICES = {"con", "prn", "aux", "nul", *(f"{kind}{n}" for kind in ("com", "lpt") for n in range(1, 10))}
"""What Windows takes for a device, with any ending."""


def short_settings(values: MutableMapping[str, Any]) -> dict[str, Any]:
    """Take the short settings out of others."""
    found = {"name": values.pop("name", None)}
    if not isinstance(values.get("data"), Mapping):
        found["data"] = values.pop("data", None)
    return {name: value for name, value in found.items() if value is not None}


def short_texts(texts: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
    """Return the short settings among `name=value` texts of a command line, and the other texts.

    Raises:
        UserError: no `name=value`, or a list that is not written as YAML writes it.
    """
    require_pairs(texts)
    short: dict[str, Any] = {}
    others = []
    for text in texts:
        name, separator, value = text.partition("=")
        if not separator or name not in ("name", "data") or (name == "data" and value.startswith("{")):
            others.append(text)
        elif name == "data" and value.startswith("[") and value.endswith("]"):
            try:
                short[name] = parse_yaml(value)
            except BROKEN_YAML as error:
                raise UserError(
                    f"{COMMAND_LINE} holds {quoted(text)}, expected one folder or [a, b]: {shortened(error)}"
                ) from error
        else:
            short[name] = value
    return short, others


def written_out(short: Mapping[str, Any], others: Mapping[str, Any], source: str) -> dict[str, Any]:
    """Return the dotted settings that short ones stand for.

    Args:
        short: see `short_settings`.
        others: dotted settings beside them.
        source: of both, for messages.

    Raises:
        UserError: a name that is none, a name beside another folder of the run, or no folder of data.
    """
    found: dict[str, Any] = {}
    if "name" in short:
        folder = RUNS / _plain(short["name"], source)
        other = others.get("loop.run_dir", folder)
        if Path(other) != folder:
            raise UserError(
                f"{source} holds the name {quoted(short['name'])}, which is the folder {folder}, and loop.run_dir "
                f"{quoted(other)}; give one of them"
            )
        found["loop.run_dir"] = folder
    if "data" in short:
        given = short["data"] if isinstance(short["data"], list) else [short["data"]]
        if not given or not all(isinstance(one, (str, Path)) and str(one).strip() for one in given):
            raise UserError(f"{source} holds data {quoted(short['data'])}, expected a folder or settings")
        paths = [Path(one) for one in given]
        files = [path if path.suffix == ".jsonl" and not os.path.isdir(path) else path / MANIFEST for path in paths]
        found |= {"data.manifests": files, "data.cache": files[0].parent / CACHE}
    return found


def _plain(name: Any, source: str) -> str:
    """Return a name that is one folder on every system."""
    if not isinstance(name, str):
        raise UserError(f"{source} holds the name {quoted(name)}, which YAML does not read as text; put it in quotes")
    if name.partition(".")[0].strip().lower() in _DEVICES:
        raise UserError(
            f"{source} holds the name {quoted(name)!r}, which Windows keeps for a device, with any ending; add a "
            f"letter or a digit, such as {quoted(name.partition('.')[0])}1"
        )
    strange = sorted(_NEVER_IN_NAMES & set(name))
    if not name.strip(" .") or name != name.strip() or name.endswith(".") or strange:
        reason = f", and Windows takes no {quoted(strange[0])!r} in one" if strange else ""
        raise UserError(
            f"{source} holds the name {quoted(name)!r}, expected the name of a folder, which {RUNS} will hold{reason}; "
            "for another place set loop.run_dir"
        )
    return name
