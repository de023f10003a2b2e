"""USO-mini's bench: the procedural world, drawn and judged by the same engine as every other bench."""

from .drawer import bundled_drawer
from .protocol import mini_bench

__all__ = ["bundled_drawer", "mini_bench"]
