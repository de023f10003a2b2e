"""Triplets of the procedural world, and their manifest.

A triplet is a target picture, a picture of another subject in the same style, and a photo of the same
individual. A quarter of the (subject, style) pairs never appears in training, which is how the miniature
shows that it combines what it has only seen apart.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from .render import render_photo, render_style
from .scene import Scene, sample_scene
from .styles import STYLES, Style, sample_style
from .subjects import SUBJECTS

LAYOUTS = ("preserved", "shifted")


def held_out(subject: str, style: str) -> bool:
    """Return whether the pair is kept from training; true for 36 of 144, 3 per subject and 3 per style.

    Raises:
        ValueError: for a subject or style that is not listed.
    """
    if subject not in SUBJECTS or style not in STYLES:
        raise ValueError(
            f"Got pair ({subject!r}, {style!r}), expected a subject of {', '.join(SUBJECTS)} and a style of "
            f"{', '.join(STYLES)}; use listed names."
        )
    # 5 and 12 share no divisor, so each row and each column meets every residue once.
    return (STYLES.index(style) + 5 * SUBJECTS.index(subject)) % 12 in (0, 1, 5)


HELD_OUT = held_out  # under this name where a parameter is called held_out


@dataclass(frozen=True)
class Triplet:
    """One training example, as scenes; nothing is rendered until asked for.

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
) -> Triplet:
    """Return a random triplet whose target pair is held out or not; a style reference is never held out.

    Args:
        rng: source of every choice.
        layout: a name of LAYOUTS, or None for either.
        held_out: draw the target among the held-out pairs instead of the training pairs.
        subject: class of the target, or None for any.
        style: name of the style, or None for any.

    Raises:
        ValueError: for an unknown layout, or when no pair fits what is asked.
    """
    if layout is None:
        layout = LAYOUTS[int(rng.integers(2))]
    if layout not in LAYOUTS:
        raise ValueError(f"Got layout {layout!r}, expected one of {', '.join(LAYOUTS)}; use a listed name.")
    pairs = [
        (a, b)
        for a in (SUBJECTS if subject is None else (subject,))
        for b in (STYLES if style is None else (style,))
        if HELD_OUT(a, b) == held_out
    ]
    if not pairs:
        kind = "held-out" if held_out else "training"
        raise ValueError(f"Got pair ({subject}, {style}), expected a {kind} pair; check it with held_out.")
    name, style_name = pairs[int(rng.integers(len(pairs)))]
    chosen = sample_style(rng, style_name)
    others = [other for other in SUBJECTS if other != name and not HELD_OUT(other, style_name)]
    target = sample_scene(rng, name)
    style_ref = sample_scene(rng, others[int(rng.integers(len(others)))])
    shifted = layout == "shifted"
    content = target.repose(rng) if shifted else target
    number = int(rng.integers(2**48))
    return Triplet(
        f"{style_name}-{name}-{number:012x}",
        target,
        chosen,
        style_ref,
        content,
        target.caption() if shifted else "",
        layout,
    )


def write_manifest(
    folder: str | Path,
    n: int,
    seed: int,
    layout: str | None = None,
    held_out: bool = False,
    split: str = "train",
) -> Path:
    """Write `n` triplets as PNG files and an ordinary triplet manifest, and return the manifest's path.

    Files go to `targets`, `styles` and `contents` under `folder`; `manifest.jsonl` names them relative to
    itself.

    Raises:
        ValueError: for a negative `n`, or what sample_triplet raises.
    """
    if n < 0:
        raise ValueError(f"Got n = {n}, expected 0 or more; pass how many triplets to write.")
    root = Path(folder)
    names = ("targets", "styles", "contents")
    for name in names:
        (root / name).mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    lines = []
    for _ in range(n):
        triplet = sample_triplet(rng, layout, held_out)
        paths = [f"{name}/{triplet.id}.png" for name in names]
        for path, picture in zip(paths, triplet.render(), strict=True):
            Image.fromarray(picture).save(root / path)
        row = {
            "id": triplet.id,
            "target": paths[0],
            "style": [paths[1]],
            "content": paths[2],
            "prompt": triplet.prompt,
            "layout": triplet.layout,
            "scores": {},
            "split": split,
        }
        lines.append(json.dumps(row))
    manifest = root / "manifest.jsonl"
    manifest.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return manifest
