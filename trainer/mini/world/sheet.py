"""One picture of the whole world: subjects down, photo and styles across."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from .noise import SIZE
from .render import render_photo, render_style
from .scene import sample_scene
from .styles import STYLES, sample_style
from .subjects import SUBJECTS

_GAP = 6
_TOP = 18
_LEFT = 70


def contact_sheet(
    seed: int = 0,
    subjects: Sequence[str] = SUBJECTS,
    styles: Sequence[str] = STYLES,
    same_scene: bool = True,
) -> Image.Image:
    """Return a sheet with one row per subject: its photo, then every style.

    Args:
        seed: picks scenes and style variants.
        subjects: rows, names of SUBJECTS.
        styles: columns after the photo, names of STYLES.
        same_scene: show one scene along a row; otherwise every picture has a scene of its own.
    """
    rng = np.random.default_rng(seed)
    cell = SIZE + _GAP
    sheet = Image.new("RGB", (_LEFT + cell * (len(styles) + 1), _TOP + cell * len(subjects)), (250, 250, 248))
    pen = ImageDraw.Draw(sheet)
    for column, name in enumerate(("photo", *styles)):
        pen.text((_LEFT + column * cell + SIZE // 2, _TOP // 2), name, (40, 40, 44), anchor="mm")
    for row, subject in enumerate(subjects):
        top = _TOP + row * cell
        pen.text((_LEFT - 8, top + SIZE // 2), subject, (40, 40, 44), anchor="rm")
        scene = sample_scene(rng, subject)
        sheet.paste(Image.fromarray(render_photo(scene)), (_LEFT, top))
        for column, name in enumerate(styles, 1):
            shown = scene if same_scene else sample_scene(rng, subject)
            picture = render_style(shown, sample_style(rng, name))
            sheet.paste(Image.fromarray(picture), (_LEFT + column * cell, top))
    return sheet
