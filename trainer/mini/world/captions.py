"""Captions and the closed list of words they are made of."""

from __future__ import annotations

from .colours import BACKGROUNDS, COLOURS
from .scene import Scene
from .styles import STYLES, TABLE
from .subjects import SUBJECTS


def photo_caption(scene: Scene) -> str:
    """Return such as `a photo of a red and blue teapot on a sand floor`."""
    return f"a photo of {scene.caption()}"


def style_caption(scene: Scene, style_name: str) -> str:
    """Return such as `a watercolour painting of a red and blue teapot on a sand floor`.

    Raises:
        ValueError: for a name that is not in STYLES.
    """
    if style_name not in TABLE:
        raise ValueError(f"Got style {style_name!r}, expected one of {', '.join(STYLES)}; use a listed name.")
    words = TABLE[style_name].words
    return f"{_article(words)} {words} of {scene.caption()}"


def _article(words: str) -> str:
    return "an" if words[0] in "aeiou" else "a"


VOCABULARY: tuple[str, ...] = tuple(
    sorted(
        {"a", "an", "and", "background", "floor", "of", "on", "photo", *SUBJECTS, *COLOURS, *BACKGROUNDS}
        | {word for entry in TABLE.values() for word in entry.words.split()}
    )
)
