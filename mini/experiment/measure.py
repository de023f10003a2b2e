"""How well a trained USO-mini follows its references, measured by judges that took no part in its training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ...uso_model.images import picture_tensor
from ...uso_model.judging.likeness import layout_likeness
from ...uso_model.judging.roc import area
from ..judges.networks import traits_of
from ..judges.protocol import Judges
from ..world import LAYOUTS, STYLES, SUBJECTS, Triplet, render_photo, sample_scene, sample_triplet

__all__ = ["CASES_SEED", "MODES", "Case", "Draw", "cases", "measure"]

BATCH = 24

CASES_SEED = 424_242
"""Of the held-out cases, the same for every row and seed."""

MODES = ("none", "style", "subject", "joint")
"""No reference; style reference and prompt; content reference; both. In the last two the prompt is empty where the
layout is preserved, and names the subject and its new place where it is shifted."""

CONTENT = ("subject", "joint")
"""Those with a content reference."""

Draw = Callable[[Sequence[str], Sequence[Image.Image] | None, Sequence[Image.Image] | None, int], list[Image.Image]]
"""Prompts, style references, content references (None: without) and a seed to pictures."""


@dataclass(frozen=True)
class Case:
    """A triplet to be drawn, rendered, and a photo of another individual of the same class."""

    triplet: Triplet
    target: Image.Image
    style: Image.Image
    content: Image.Image
    stranger: Image.Image


def cases(count: int, seed: int, held_out: bool = True, beyond: bool = False) -> list[Case]:
    """Return triplets, every second one with its layout kept.

    Args:
        count: how many.
        seed: the same seed gives the same cases.
        held_out: take styles and classes that no training triplet shows; False: take those of training, on which
            settings may be chosen.
        beyond: take style parameters from outside the ranges that all networks but the judges have seen.
    """
    rng = np.random.default_rng([seed, held_out, beyond])
    found = []
    for number in range(count):
        triplet = sample_triplet(rng, "preserved" if number % 2 == 0 else "shifted", held_out, beyond=beyond)
        stranger = render_photo(sample_scene(rng, triplet.target.subject))
        found.append(Case(triplet, *(Image.fromarray(part) for part in (*triplet.render(), stranger))))
    return found


@torch.no_grad()
def measure(
    draw: Draw, judges: Judges, of: Sequence[Case], seed: int = 0, modes: Sequence[str] = MODES
) -> dict[str, dict[str, float]]:
    """Draw every case in every mode and return the judges' numbers.

    Returns:
        Mode to its numbers:

        - `style`: accuracy (top 1) of the style judge, among all styles of the world
        - `likeness`: mean cosine of the reward's descriptor to the style reference
        - `identity`: area under the ROC curve of identity verification: the probability that a picture scores higher
          with its content photo than another picture does with a stranger of its class
        - `resemblance`: mean cosine of the identity judge to the content photo
        - `text`: share of the target's class, colours and marking that the identity judge names
        - `leak`: share of pictures in which the judge sees the class of the style reference
        - `copied`: mean correlation of layout with the style reference

        Mode `true` has the same numbers of the renders themselves, which are an upper bound. Modes with a content
        reference, and `true`, also have numbers for each layout, such as `joint/preserved`: restyling a photo and
        showing its subject elsewhere are two tasks, and one number for both can hide a failure of one.
    """
    found = _judged("true", judges, of, [case.target for case in of])
    for mode in modes:
        pictures: list[Image.Image] = []
        for start in range(0, len(of), BATCH):
            part = of[start : start + BATCH]
            prompts = [_prompt(case, mode) for case in part]
            styles = [case.style for case in part] if mode in ("style", "joint") else None
            contents = [case.content for case in part] if mode in CONTENT else None
            pictures += draw(prompts, styles, contents, seed + start)
        found |= _judged(mode, judges, of, pictures)
    return found


def _prompt(case: Case, mode: str) -> str:
    if mode == "none":
        return ""
    return case.triplet.target.caption() if mode == "style" else case.triplet.prompt


def _judged(
    mode: str, judges: Judges, of: Sequence[Case], pictures: Sequence[Image.Image]
) -> dict[str, dict[str, float]]:
    """Return the numbers of all pictures and, where the layout has a meaning, of those of each layout."""
    seen = _seen(judges, of, pictures)
    found = {mode: _numbers(seen)}
    for layout in LAYOUTS if mode in ("true", *CONTENT) else ():
        part = torch.tensor([case.triplet.layout == layout for case in of])
        if part.any():
            found[f"{mode}/{layout}"] = _numbers({name: values[part] for name, values in seen.items()})
    return found


def _seen(judges: Judges, of: Sequence[Case], pictures: Sequence[Image.Image]) -> dict[str, Tensor]:
    """Return the judges' values for each picture, by the name of the number that they become."""
    drawn, references, contents, strangers = (
        torch.cat([picture_tensor(picture) for picture in column])
        for column in (pictures, [c.style for c in of], [c.content for c in of], [c.stranger for c in of])
    )
    styles = torch.tensor([STYLES.index(case.triplet.style.name) for case in of])
    named = judges.style(drawn).argmax(1)
    vectors, traits = judges.identity(drawn)
    right, wrong = ((vectors * judges.identity(photos)[0]).sum(1) for photos in (contents, strangers))
    expected = torch.tensor([traits_of(case.triplet.target.individual) for case in of])
    found = torch.stack([part.argmax(1) for part in traits], 1)
    captioned = [0, 1, 2, 4]  # the accent is in no caption
    reference_class = torch.tensor([SUBJECTS.index(case.triplet.style_ref.subject) for case in of])
    return {
        "style": named == styles,
        "likeness": (judges.descriptor(drawn) * judges.descriptor(references)).sum(1),
        "identity": torch.stack([right, wrong], 1),
        "resemblance": right,
        "text": found[:, captioned] == expected[:, captioned],
        "leak": found[:, 0] == reference_class,
        "copied": layout_likeness(drawn, references),
    }


def _numbers(seen: dict[str, Tensor]) -> dict[str, float]:
    """Return the area of the identity judge's scores and the mean of everything else."""
    return {name: area(*values.unbind(1)) if name == "identity" else _mean(values) for name, values in seen.items()}


def _mean(values: Tensor) -> float:
    return float(values.float().mean())
