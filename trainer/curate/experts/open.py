"""Experts by their kinds."""

from __future__ import annotations

from collections.abc import Callable

from ....uso_model.errors import UserError
from ....uso_model.import_path import is_import_path, object_at
from ..recipe import ExpertSettings
from ..steps import Expert

__all__ = ["KINDS", "Maker", "open_expert"]

KINDS: dict[str, str] = {
    "comfyui": f"{__package__}.comfyui:comfy_expert",
    "network": f"{__package__}.network:network_expert",
    "command": f"{__package__}.command:command_expert",
}
"""Kinds that have a short name, and where each is made."""

Maker = Callable[[ExpertSettings], Expert]
"""What stands at an import path."""


def open_expert(name: str, settings: ExpertSettings) -> Expert:
    """Return the expert of these settings; `name` is for messages.

    Raises:
        UserError: there is none of that kind, or it cannot be made.
    """
    kind = settings.kind
    if kind not in KINDS and not is_import_path(kind):
        known = ", ".join(sorted(KINDS))
        raise UserError(f"experts.{name}.kind is {kind!r}, expected one of {known}, or package.module:function")
    make = object_at(KINDS.get(kind, kind), "expert", f"correct experts.{name}.kind")
    expert = make(settings)
    if not isinstance(expert, Expert):
        raise UserError(f"{kind} makes no expert but {type(expert).__name__}; it needs workers, describe and a call")
    return expert
