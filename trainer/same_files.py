"""Whether a run that goes on reads the files that it began with, wherever they lie by now."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .encoders.fingerprint import fingerprint
from .export.names import meant
from .recipe import ModelsConfig, TrainConfig

__all__ = ["fingerprints", "only_moved"]

_BY_PATH = {"tokenizers"}
"""Settings that may name a whole checkout of ComfyUI, of which the least is read."""


def fingerprints(config: TrainConfig) -> dict[str, str]:
    """Return what the files that a recipe names hold, by setting; paths that only a family knows may be of any kind.

    Raises:
        UserError: one is not there.
    """
    known = ModelsConfig.model_fields.keys() - _BY_PATH
    named = {n: path for n, path in config.models.named_files.items() if n.partition(".")[0] in known}
    return {f"models.{name}": fingerprint(meant(path, name)) for name, path in named.items()}


def only_moved(name: str, began: Any, now: Any, kept: Mapping[str, Any], found: Mapping[str, str]) -> bool:
    """Whether a setting differs by nothing but where files lie.

    Args:
        name: of the setting.
        began: its value when the run began.
        now: its value.
        kept: fingerprints of then.
        found: fingerprints of now.
    """
    if name == "data.manifests":  # their rows and pictures are compared by hash
        return _without_places(began) == _without_places(now)
    return name in found and kept.get(name) == found[name]


def _without_places(manifests: Any) -> list[Any]:
    return [{**one, "path": None} if isinstance(one, Mapping) else None for one in manifests or []]
