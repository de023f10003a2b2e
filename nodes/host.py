"""Which ComfyUI this is, and whether it has what the nodes need."""

from __future__ import annotations

import re

__all__ = ["OLDEST", "check_host", "host_version"]

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
