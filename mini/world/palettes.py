"""What a style does to the colours of a scene: one function per kind of palette."""

from __future__ import annotations

import colorsys
from collections.abc import Callable

import numpy as np

from .colours import ACCENT, BACKGROUND, BODY, CHARCOAL, CREAM, DARK, GROUND, SECOND, luminance, mix
from .parameters import Kind, Range

_FIRE = np.array(
    [(0.05, 0.02, 0.28), (0.45, 0.05, 0.50), (0.87, 0.22, 0.32), (0.98, 0.62, 0.15), (1.0, 0.97, 0.68)], np.float32
)


def own(base: np.ndarray, saturation: float, warmth: float, lift: float) -> np.ndarray:
    """Return the scene's own colours, more or less saturated, warmer or cooler, lifted towards white."""
    grey = luminance(base)[:, None]
    out = grey + np.float32(saturation) * (base - grey)
    out = out * np.array((1 + 0.12 * warmth, 1.0, 1 - 0.16 * warmth), np.float32)
    return np.clip(mix(out, CREAM, lift), 0.0, 1.0)


def duo(base: np.ndarray, hue: float, depth: float, paper: float) -> np.ndarray:
    """Return shades between one ink and one paper; brightness is all that is left of the scene's colours."""
    ink = _hsv(hue, 0.75, 0.42 - 0.34 * depth)
    white = mix(np.array((0.98, 0.97, 0.94), np.float32), _hsv(hue, 0.35, 0.92), paper)
    grey = _spread(base)
    return ink + (white - ink) * grey[:, None]


def inks(base: np.ndarray, hue: float, gap: float, paper: float) -> np.ndarray:
    """Return two inks on paper: the body in one, the trim in the other, dark parts in both over each other."""
    first, second = _hsv(hue, 0.82, 0.88), _hsv(hue + gap, 0.80, 0.86)
    white = mix(np.array((0.98, 0.97, 0.93), np.float32), (0.93, 0.88, 0.76), paper)
    out = np.empty_like(base)
    out[BACKGROUND], out[GROUND] = white, mix(white, second, 0.30)
    out[BODY], out[SECOND] = first * white, second * white
    out[ACCENT], out[DARK] = white, first * second * np.float32(0.75)
    return out


def board(base: np.ndarray, hue: float, dark: float, pale: float) -> np.ndarray:
    """Return pale colours on a dark ground of one hue."""
    ground = _hsv(hue, 0.45, 0.34 - 0.18 * dark)
    out = mix(base, (0.95, 0.95, 0.92), pale)
    out[BACKGROUND], out[GROUND], out[DARK] = ground, ground * np.float32(1.35), (0.92, 0.92, 0.90)
    return out


def lamps(base: np.ndarray, hue: float, dark: float) -> np.ndarray:
    """Return every colour at full brightness in front of a nearly black wall."""
    out = np.clip(base / base.max(1, keepdims=True) * 1.05, 0.0, 1.0)
    wall = _hsv(hue, 0.7, 0.16 - 0.12 * dark)
    out[BACKGROUND], out[GROUND], out[DARK] = wall, wall * np.float32(1.8), (0.80, 0.80, 0.92)
    return out


def pastel(base: np.ndarray, amount: float, hue: float) -> np.ndarray:
    """Return milky colours with a common tint."""
    tint = _hsv(hue, 0.22, 0.98)
    out = mix(mix(base, (1.0, 1.0, 1.0), 0.35 + 0.25 * amount), tint, 0.18)
    out[DARK] = mix(out[DARK], _hsv(hue, 0.4, 0.35), 0.6)
    return np.clip(out, 0.0, 1.0)


def retro(base: np.ndarray, levels: float, gamma: float) -> np.ndarray:
    """Return the few colours of an old screen: every channel in coarse levels, strong contrast."""
    bright = np.clip((base - 0.5) * np.float32(1.35) + 0.5, 0.0, 1.0) ** np.float32(gamma)
    n = np.float32(round(levels))
    return np.round(bright * n) / n


def heat(base: np.ndarray, turn: float, contrast: float) -> np.ndarray:
    """Return false colours: brightness becomes a place on a scale from violet to pale yellow."""
    grey = np.clip((_spread(base) - 0.5) * np.float32(contrast) + 0.5, 0.0, 1.0)
    place = grey * (len(_FIRE) - 1)
    low = np.minimum(place.astype(int), len(_FIRE) - 2)
    colour = _FIRE[low] + (_FIRE[low + 1] - _FIRE[low]) * (place - low)[:, None]
    return np.clip(mix(colour, colour[:, [2, 0, 1]], turn), 0.0, 1.0).astype(np.float32)


def _spread(base: np.ndarray) -> np.ndarray:
    """Return the brightness of each role with the body and its trim kept apart, ROLES."""
    grey = luminance(base).copy()
    middle, apart = (grey[BODY] + grey[SECOND]) / 2, grey[BODY] - grey[SECOND]
    if abs(apart) < 0.24:
        sign = 1.0 if apart >= 0 else -1.0
        grey[BODY], grey[SECOND] = middle + 0.12 * sign, middle - 0.12 * sign
    grey[DARK] = 0.05
    return np.clip(grey, 0.0, 1.0).astype(np.float32)


def _hsv(hue: float, saturation: float, value: float) -> np.ndarray:
    return np.array(colorsys.hsv_to_rgb(hue % 1.0, saturation, max(value, 0.0)), np.float32)


PALETTES: dict[str, Kind[Callable[..., np.ndarray]]] = {
    "own": Kind(own, {"saturation": Range(0.7, 1.3), "warmth": Range(-1.0, 1.0), "lift": Range(0.0, 0.2)}),
    "duo": Kind(duo, {"hue": Range(0.0, 1.0), "depth": Range(0.2, 1.0), "paper": Range(0.0, 1.0)}),
    "inks": Kind(inks, {"hue": Range(0.0, 1.0), "gap": Range(0.25, 0.6), "paper": Range(0.0, 1.0)}),
    "board": Kind(board, {"hue": Range(0.0, 1.0), "dark": Range(0.0, 1.0), "pale": Range(0.1, 0.45)}),
    "lamps": Kind(lamps, {"hue": Range(0.0, 1.0), "dark": Range(0.0, 1.0)}),
    "pastel": Kind(pastel, {"amount": Range(0.0, 1.0), "hue": Range(0.0, 1.0)}),
    "retro": Kind(retro, {"levels": Range(2.0, 4.0), "gamma": Range(0.8, 1.25)}),
    "heat": Kind(heat, {"turn": Range(0.0, 0.8), "contrast": Range(0.8, 1.3)}),
}
"""Kinds of palettes: base palette ROLES 3 and parameters -> palette ROLES 3."""

INK = CHARCOAL
"""What lines are drawn in where a palette has nothing darker."""


def line_colour(palette: np.ndarray) -> np.ndarray:
    """Return the colour of lines on a palette: its dark role, or its pale one on a dark ground."""
    if luminance(palette[BACKGROUND][None])[0] < 0.35:
        return palette[DARK]
    return np.minimum(palette[DARK], np.asarray(INK, np.float32) * 2.2)
