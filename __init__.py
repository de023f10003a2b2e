"""USO for ComfyUI: style and subject references for FLUX.1; hands ComfyUI its entry point and imports nothing else."""

from __future__ import annotations

from typing import Any

WEB_DIRECTORY = "./web"

__all__ = ["WEB_DIRECTORY", "comfy_entrypoint"]


async def comfy_entrypoint() -> Any:
    """Return the extension; ComfyUI calls this when it loads the pack, and nobody else ever imports the nodes."""
    from .nodes import comfy_entrypoint as nodes_entrypoint

    return await nodes_entrypoint()
