"""USO for ComfyUI: style and subject references for FLUX.1; registers its nodes where ComfyUI is present."""

from importlib.util import find_spec

WEB_DIRECTORY = "./web"

__all__ = ["WEB_DIRECTORY"]

if find_spec("comfy_api") is not None:
    from .nodes import comfy_entrypoint

    __all__ += ["comfy_entrypoint"]
