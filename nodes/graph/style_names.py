"""Names of style files."""

from __future__ import annotations

from .plain_names import plain_name

__all__ = ["ENDING", "style_file_name"]

ENDING = ".safetensors"
MOST_BYTES = 200
"""Of a name in UTF-8; file systems take 255, of which the ending and a temporary name use some."""


def style_file_name(name: str) -> str:
    """Return the file of a style, within the folder of styles, for its name.

    Raises:
        UserError: no file could have the name on every system.
    """
    return f"{plain_name(name, 'a style', MOST_BYTES, ENDING)}{ENDING}"
