"""The twelve styles: their names, the choices inside each, and the words that name them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from . import styles_cut, styles_line, styles_paint, styles_print
from .scene import Scene


@dataclass(frozen=True)
class Style:
    """A style with every choice made; two pictures of one `Style` share all of it.

    Attributes:
        name: a name of STYLES.
        params: the choices as (key, value) pairs, in the order of the style's option table.
    """

    name: str
    params: tuple[tuple[str, float | str], ...]

    def __post_init__(self) -> None:
        if self.name not in TABLE:
            raise ValueError(f"Got style {self.name!r}, expected one of {', '.join(STYLES)}; use a listed name.")
        expected = tuple(TABLE[self.name].options)
        if tuple(key for key, _ in self.params) != expected:
            raise ValueError(
                f"Got parameters {[key for key, _ in self.params]} for style {self.name!r}, "
                f"expected {list(expected)}; take them from sample_style."
            )


@dataclass(frozen=True)
class Entry:
    """One row of the style table.

    Attributes:
        render: scene and keyword parameters -> picture 3 h w in 0..1.
        options: for each parameter the values a style draws from.
        words: how a caption says it, between the article and `of`.
    """

    render: Callable[..., np.ndarray]
    options: dict[str, tuple[float | str, ...]]
    words: str


TABLE: dict[str, Entry] = {
    "poster": Entry(styles_cut.poster, {"tint": ("plain", "warm", "faded"), "rays": (10.0, 16.0)}, "flat poster"),
    "watercolour": Entry(
        styles_paint.watercolour,
        {"bleed": (2.0, 3.5), "paper": ("cream", "white"), "texture": (1.0, 2.0)},
        "watercolour painting",
    ),
    "pixel": Entry(styles_cut.pixel, {"cells": (28.0, 32.0), "tint": ("plain", "vivid")}, "pixel picture"),
    "halftone": Entry(
        styles_print.halftone,
        {"cell": (7.0, 8.0), "angle": (0.26, 0.79), "tint": ("plain", "warm")},
        "halftone print",
    ),
    "ink": Entry(
        styles_line.ink,
        {"hatch": (5.0, 6.5), "paper": ("cream", "grey"), "colour": ("black", "sepia")},
        "ink drawing",
    ),
    "neon": Entry(styles_line.neon, {"wall": ("black", "navy", "plum"), "glow": (4.0, 7.0)}, "neon sign"),
    "blueprint": Entry(
        styles_line.blueprint,
        {"paper": ("royal", "prussian", "cyan"), "grid": (12.0, 16.0)},
        "blueprint drawing",
    ),
    "glass": Entry(
        styles_paint.glass,
        {"cell": (16.0, 20.0), "lead": (2.2, 3.0), "texture": (1.0, 2.0)},
        "stained glass window",
    ),
    "oil": Entry(
        styles_paint.oil,
        {"width": (4.0, 5.5), "texture": (1.0, 2.0), "tint": ("warm", "vivid")},
        "oil painting",
    ),
    "papercut": Entry(
        styles_cut.papercut,
        {"tint": ("plain", "faded"), "depth": (3.0, 5.0), "texture": (1.0, 2.0)},
        "papercut collage",
    ),
    "chalk": Entry(styles_line.chalk, {"board": ("green", "black", "slate"), "texture": (1.0, 2.0)}, "chalk drawing"),
    "knit": Entry(styles_print.knit, {"cell": (4.0, 4.8), "tint": ("plain", "warm", "faded")}, "knitted picture"),
}
STYLES: tuple[str, ...] = tuple(TABLE)


def sample_style(rng: np.random.Generator, name: str | None = None) -> Style:
    """Return a random variant, of the style `name` if given.

    Raises:
        ValueError: for a name that is not in STYLES.
    """
    if name is None:
        name = STYLES[int(rng.integers(len(STYLES)))]
    if name not in TABLE:
        raise ValueError(f"Got style {name!r}, expected one of {', '.join(STYLES)}; use a listed name.")
    return Style(name, tuple((key, v[int(rng.integers(len(v)))]) for key, v in TABLE[name].options.items()))


def styled(scene: Scene, style: Style) -> np.ndarray:
    """Return the scene in a style, 3 h w in 0..1."""
    return TABLE[style.name].render(scene, **dict(style.params))
