"""The templates that ship."""

from __future__ import annotations

__all__ = ["NAMES"]

NAMES = {
    "USO 1 style and subject (no download)",
    "USO 2 style (no download)",
    "USO 3 subject (no download)",
    "USO 4 in place or a new scene (no download)",
    "USO 5 two styles (no download)",
    "USO 6 regions (no download)",
    "USO 7 strength and time (no download)",
    "USO 8 depths of a style (no download)",
    "USO 9 style file and what is seen (no download)",
    "USO 10 grid scored (no download)",
    "USO 11 build a set (no download)",
    "USO 12 faster references (no download)",
    "USO 13 train a style (no download)",
    "USO 14 pick a checkpoint (no download)",
    "USO FLUX 1 style and subject",
    "USO FLUX 2 style",
    "USO FLUX 3 subject",
    "USO FLUX 4 two styles",
    "USO FLUX 5 style and subject (checkpoint)",
    "USO FLUX 6 style (checkpoint)",
    "USO FLUX 7 subject (checkpoint)",
    "USO FLUX 8 two subjects",
    "USO FLUX 9 train my style",
    "USO FLUX 10 train my subject",
    "USO FLUX example 1 identity",
    "USO FLUX example 2 identity and style",
    "USO FLUX example 3 identity stylised",
    "USO FLUX example 4 one style",
    "USO FLUX example 5 two styles",
    "USO FLUX example 6 one style",
}
