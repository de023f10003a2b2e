"""Which ComfyUI this is, whether it has what the nodes need, and its server."""

from __future__ import annotations

import re
from typing import Any

__all__ = ["OLDEST", "check_host", "host_version", "server_routes"]

OLDEST = (0, 17, 0)
"""First ComfyUI whose FLUX hands its transformer options to input patches, and has patches inside attention."""


def host_version() -> str:
    """Return the version of the running ComfyUI, empty where it does not tell."""
    try:
        from comfyui_version import __version__
    except ImportError:
        return ""
    return __version__


def check_host(version: str) -> None:
    """Check that a ComfyUI is new enough; one that does not tell its version passes.

    Raises:
        RuntimeError: if it is older than OLDEST.
    """
    found = tuple(int(part) for part in re.findall(r"\d+", version)[:3])
    if found and found < OLDEST:
        raise RuntimeError(
            f"The USO nodes need ComfyUI {'.'.join(map(str, OLDEST))} or newer, this is {version}: update ComfyUI, or "
            "take the pack out of custom_nodes."
        )


def server_routes() -> Any:
    """Return the routes of ComfyUI's server, to which a pack adds its own; None without a server, as in a script."""
    from server import PromptServer  # not above: only ComfyUI's own start has it loaded

    server = getattr(PromptServer, "instance", None)
    return None if server is None else server.routes
