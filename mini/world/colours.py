"""The closed list of colours, and arithmetic on them."""

from __future__ import annotations

import numpy as np

# Roles: what a pixel belongs to. Weights and palettes are stacked in this order.
GROUND, BODY, SECOND, ACCENT, DARK = 1, 2, 3, 4, 5
BACKGROUND = 0
ROLES = 6

COLOURS: dict[str, tuple[float, float, float]] = {
    "red": (0.86, 0.15, 0.16),
    "orange": (0.96, 0.51, 0.10),
    "yellow": (0.99, 0.83, 0.17),
    "green": (0.25, 0.66, 0.25),
    "teal": (0.06, 0.61, 0.60),
    "blue": (0.15, 0.34, 0.86),
    "purple": (0.52, 0.24, 0.72),
    "pink": (0.97, 0.52, 0.71),
}
BACKGROUNDS: dict[str, tuple[float, float, float]] = {
    "white": (0.95, 0.95, 0.93),
    "grey": (0.63, 0.64, 0.67),
    "sky": (0.62, 0.82, 0.96),
    "sand": (0.91, 0.81, 0.61),
    "mint": (0.72, 0.91, 0.79),
    "night": (0.16, 0.19, 0.42),
}
ACCENTS: dict[str, tuple[float, float, float]] = {
    "cream": (0.98, 0.95, 0.87),
    "gold": (0.93, 0.72, 0.20),
    "silver": (0.78, 0.81, 0.86),
    "rose": (0.97, 0.73, 0.70),
}
CREAM = ACCENTS["cream"]
CHARCOAL = (0.13, 0.11, 0.15)
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


def base_palette(first: str, second: str, accent: str, background: str) -> np.ndarray:
    """Return one colour per role, ROLES 3, for an individual's colours on a background."""
    behind = np.array(BACKGROUNDS[background], np.float32)
    ground = behind * np.float32(0.84) if background != "night" else behind * np.float32(1.4)
    rows = [behind, ground, COLOURS[first], COLOURS[second], ACCENTS[accent], CHARCOAL]
    return np.array(rows, np.float32)


def luminance(palette: np.ndarray) -> np.ndarray:
    """Return the brightness (n) of each colour of a palette (n 3), ITU-R BT.601 weights."""
    return palette @ _LUMA


def mix(a: np.ndarray, b: np.ndarray | tuple[float, ...], amount: float) -> np.ndarray:
    """Return colours (3 or n 3) moved towards the colour `b` by `amount`, 0..1."""
    return a + (np.asarray(b, np.float32) - a) * np.float32(amount)


def flat(colour: np.ndarray | tuple[float, ...]) -> np.ndarray:
    """Return one colour shaped 3 1 1, to be spread over a picture."""
    return np.asarray(colour, np.float32).reshape(3, 1, 1)


def over(picture: np.ndarray, top: np.ndarray | tuple[float, ...], cover: np.ndarray) -> np.ndarray:
    """Return `top`, a picture or a colour, laid on `picture` (3 h w) where `cover` (h w) is 1.

    Pictures keep their channels first until the very end: numpy is several times slower when the axis it
    broadcasts along is the innermost one.
    """
    if np.ndim(top) == 1:
        top = flat(np.asarray(top))
    return picture + (top - picture) * cover
