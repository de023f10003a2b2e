"""Triplets of the procedural world.

A triplet is a target picture, a picture of another subject in the same style, and a photo of the same individual.
Some styles and some classes of subjects never appear in training triplets. The base and the encoders see them in
captioned pictures, as FLUX.1 and SigLIP have seen nearly everything, but no stage with references does.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...uso_model.errors import UserError
from .render import render_photo, render_style
from .scene import Scene, sample_scene
from .styles import HELD_OUT_STYLES, IMPROVISED, TRAINING_STYLES, Style, sample_style
from .subjects import HELD_OUT_SUBJECTS, TRAINING_SUBJECTS

LAYOUTS = ("preserved", "shifted")

IMPROVISED_SHARE = 0.4
"""Default share of training triplets in a style without a name."""


@dataclass(frozen=True)
class Triplet:
    """One training example, as scenes; `render` draws them.

    Attributes:
        id: unique within a run of one generator.
        target: the scene of the target picture, drawn in `style`.
        style: shared by the target and the style reference.
        style_ref: a scene with another subject class.
        content: the target's scene (layout preserved) or the same individual elsewhere (shifted).
        prompt: empty (preserved) or the target's caption without its style (shifted).
        layout: a name of LAYOUTS.
    """

    id: str
    target: Scene
    style: Style
    style_ref: Scene
    content: Scene
    prompt: str
    layout: str

    def render(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return target, style reference and content photo, each 128 128 3 uint8."""
        return (
            render_style(self.target, self.style),
            render_style(self.style_ref, self.style),
            render_photo(self.content),
        )


def sample_triplet(
    rng: np.random.Generator,
    layout: str | None = None,
    held_out: bool = False,
    subject: str | None = None,
    style: str | None = None,
    beyond: bool = False,
    improvised: float = IMPROVISED_SHARE,
    hybrids: float = 0.0,
) -> Triplet:
    """Return a random triplet; the subject of its style reference is always of a training class.

    Args:
        rng: source of every choice.
        layout: a name of LAYOUTS, or None for either.
        held_out: draw style and subject from those that training triplets never show.
        subject: class of the target, or None for any of the split.
        style: name of the style, or None for any of the split.
        beyond: draw the style's parameters from beyond their training ranges.
        improvised: share of styles without a name, where neither `style` nor `held_out` is given.
        hybrids: share of targets that join two classes, where `held_out` is not given.

    Raises:
        UserError: for an unknown layout, subject or style.
    """
    if layout is None:
        layout = LAYOUTS[int(rng.integers(2))]
    if layout not in LAYOUTS:
        raise UserError(f"Got layout {layout!r}, expected one of {', '.join(LAYOUTS)}; use a listed name.")
    subjects, styles = (HELD_OUT_SUBJECTS, HELD_OUT_STYLES) if held_out else (TRAINING_SUBJECTS, TRAINING_STYLES)
    name = subject or subjects[int(rng.integers(len(subjects)))]
    if style is None:
        nameless = not held_out and rng.uniform() < improvised
        style = IMPROVISED if nameless else styles[int(rng.integers(len(styles)))]
    chosen = sample_style(rng, style, beyond)
    others = [other for other in TRAINING_SUBJECTS if other != name]
    # Without hybrids no number is drawn for them, so a seed gives the same triplets as before there were any.
    hybrid = hybrids > 0 and not held_out and rng.uniform() < hybrids
    target = sample_scene(rng, name, hybrid)
    style_ref = sample_scene(rng, others[int(rng.integers(len(others)))])
    shifted = layout == "shifted"
    content = target.repose(rng) if shifted else target
    number = int(rng.integers(2**48))
    return Triplet(
        f"{style}-{name}-{number:012x}",
        target,
        chosen,
        style_ref,
        content,
        target.caption() if shifted else "",
        layout,
    )
