"""Styles: a fill, a line, a palette and a surface, each with continuous parameters.

A named style fixes the four kinds and narrows some ranges; all are in `styles.yaml`. An improvised style draws all
four at random, so training sees far more styles than have a name. Held-out styles are kept from every stage that reads
references: their fill never appears with their palette there, though each appears in other combinations.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml

from ...uso_model.errors import UserError
from .canvas import Canvas
from .drawing import palette_of
from .fills import FILLS
from .lines import LINES
from .palettes import PALETTES
from .parameters import Range
from .scene import Scene
from .surfaces import SURFACES

SEEDS = 6
"""Number of textures of every style."""

IMPROVISED = "improvised"
"""Name of all styles without a name of their own."""


@dataclass(frozen=True)
class Choice:
    """A kind and the ranges that its parameters are drawn from; those not given are the kind's own."""

    kind: str
    narrowed: Mapping[str, Range]

    def sample(self, table: Mapping, rng: np.random.Generator, beyond: bool) -> Drawn:
        """Draw the parameters."""
        ranges = {**table[self.kind].ranges, **self.narrowed}
        return Drawn(self.kind, tuple((name, span.sample(rng, beyond)) for name, span in ranges.items()))


@dataclass(frozen=True)
class Drawn:
    """A kind with its parameters drawn."""

    kind: str
    params: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class Style:
    """A style with every choice made; two pictures in one `Style` share all of it.

    Attributes:
        name: a name of STYLES, or IMPROVISED.
        fill, line, palette, surface: what it is made of.
        seed: picks its textures, below SEEDS.
    """

    name: str
    fill: Drawn
    line: Drawn
    palette: Drawn
    surface: Drawn
    seed: int


@dataclass(frozen=True)
class Entry:
    """One named style: its words in a caption, between the article and `of`, and its parts."""

    words: str
    fill: Choice
    line: Choice
    palette: Choice
    surface: Choice
    held_out: bool


def _use(kind: str, **narrowed: tuple[float, float]) -> Choice:
    return Choice(kind, {name: Range(*span) for name, span in narrowed.items()})


def _read_table() -> dict[str, Entry]:
    """Read the named styles."""
    text = Path(__file__).with_name("styles.yaml").read_text(encoding="utf-8")
    return {
        name: Entry(
            entry["words"],
            fill=_choice(entry["fill"]),
            line=_choice(entry["line"]),
            palette=_choice(entry["palette"]),
            surface=_choice(entry["surface"]),
            held_out=entry.get("held_out", False),
        )
        for name, entry in yaml.safe_load(text).items()
    }


def _choice(written: str | dict[str, dict[str, tuple[float, float]]]) -> Choice:
    if isinstance(written, str):
        return _use(written)
    ((kind, narrowed),) = written.items()
    return _use(kind, **narrowed)


TABLE: dict[str, Entry] = _read_table()
STYLES: tuple[str, ...] = tuple(TABLE)
HELD_OUT_STYLES: tuple[str, ...] = tuple(name for name, entry in TABLE.items() if entry.held_out)
TRAINING_STYLES: tuple[str, ...] = tuple(name for name, entry in TABLE.items() if not entry.held_out)

_KEPT_BACK = {(TABLE[name].fill.kind, TABLE[name].palette.kind) for name in HELD_OUT_STYLES}
_BRING_THEIR_LINES = ("pixels", "panes", "knit", "stitch", "weave", "tiles", "emboss")


def sample_style(rng: np.random.Generator, name: str | None = None, beyond: bool = False) -> Style:
    """Return a random variant, of the style `name` if given.

    Args:
        rng: source of every choice.
        name: a name of STYLES, IMPROVISED, or None for any named one.
        beyond: draw every parameter from the part of its range that training never sees.

    Raises:
        UserError: for a name that is not in STYLES.
    """
    if name is None:
        name = STYLES[int(rng.integers(len(STYLES)))]
    if name == IMPROVISED:
        entry = _improvised(rng)
    elif name in TABLE:
        entry = TABLE[name]
    else:
        raise UserError(f"Got style {name!r}, expected one of {', '.join(STYLES)}; use a listed name.")
    return Style(
        name,
        entry.fill.sample(FILLS, rng, beyond),
        entry.line.sample(LINES, rng, beyond),
        entry.palette.sample(PALETTES, rng, beyond),
        entry.surface.sample(SURFACES, rng, beyond),
        int(rng.integers(SEEDS)),
    )


def _improvised(rng: np.random.Generator) -> Entry:
    """Return a style made of four kinds at random; a held-out style's fill never comes with its palette."""
    while True:
        fill, palette = (_any(table, rng) for table in (FILLS, PALETTES))
        if (fill.kind, palette.kind) not in _KEPT_BACK:
            break
    line = _use("none") if fill.kind in _BRING_THEIR_LINES else _any(LINES, rng)
    return Entry("", fill, line, palette, _any(SURFACES, rng), held_out=False)


def _any(table: Mapping, rng: np.random.Generator) -> Choice:
    return _use(list(table)[int(rng.integers(len(table)))])


def styled(scene: Scene, style: Style) -> np.ndarray:
    """Return the scene in a style, 3 h w."""
    palette = PALETTES[style.palette.kind].draw(palette_of(scene), **dict(style.palette.params))
    canvas = Canvas(scene, np.asarray(palette, np.float32), style.seed + 1)
    picture, drawing = FILLS[style.fill.kind].draw(canvas, **dict(style.fill.params))
    picture = LINES[style.line.kind].draw(picture, canvas, drawing, **dict(style.line.params))
    return SURFACES[style.surface.kind].draw(picture, canvas, **dict(style.surface.params))
