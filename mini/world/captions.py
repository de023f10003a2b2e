"""Captions and the closed list of words they are made of."""

from __future__ import annotations

from ...uso_model.errors import UserError
from .colours import BACKGROUNDS, COLOURS
from .markings import MARKINGS
from .scene import Scene
from .styles import IMPROVISED, STYLES, TABLE
from .subjects import SUBJECTS

WITHOUT_NAME = "picture"


def photo_caption(scene: Scene) -> str:
    """Return such as `a photo of a spotted red and blue teapot on a sand floor`."""
    return f"a photo of {scene.caption()}"


def style_caption(scene: Scene, style_name: str) -> str:
    """Return such as `a watercolour painting of a red and blue teapot on a sand floor`.

    A style without a name is `a picture`.

    Raises:
        UserError: for a name that is not in STYLES.
    """
    if style_name == IMPROVISED:
        words = WITHOUT_NAME
    elif style_name in TABLE:
        words = TABLE[style_name].words
    else:
        raise UserError(f"Got style {style_name!r}, expected one of {', '.join(STYLES)}; use a listed name.")
    return f"{_article(words)} {words} of {scene.caption()}"


def _article(words: str) -> str:
    return "an" if words[0] in "aeiou" else "a"


VOCABULARY: tuple[str, ...] = tuple(
    sorted(
        {"a", "an", "and", "background", "floor", "of", "on", "photo", WITHOUT_NAME}
        | {*SUBJECTS, *COLOURS, *BACKGROUNDS}
        | {marking.word for marking in MARKINGS.values() if marking.word}
        | {word for entry in TABLE.values() for word in entry.words.split()}
    )
)
