"""How well a trained miniature follows its references, told by judges that had no part in its training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ...uso_model.images import picture_tensor
from ...uso_model.judging.likeness import layout_likeness
from ..judges.networks import traits_of
from ..judges.protocol import Judges
from ..judges.roc import area
from ..world import LAYOUTS, STYLES, SUBJECTS, Triplet, render_photo, sample_scene, sample_triplet

__all__ = ["CASES_SEED", "MODES", "Case", "Draw", "cases", "measure"]

BATCH = 24

CASES_SEED = 424_242
"""Of the held-out cases, the same for every row and seed."""

MODES = ("none", "style", "subject", "joint")
"""No reference; style reference and prompt; content reference; both. Prompts of the last two are empty where the layout
is to be kept and name the subject and its new place where not."""

CONTENT = ("subject", "joint")
"""Those with a content reference."""

Draw = Callable[[Sequence[str], Sequence[Image.Image] | None, Sequence[Image.Image] | None, int], list[Image.Image]]
"""Prompts, style references, content references (None: without) and a seed to pictures."""


@dataclass(frozen=True)
class Case:
    """A triplet to be drawn, rendered, and a photo of somebody else of the same class."""

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
        held_out: of styles and classes that no training triplet shows; False: of those of training, where settings may
            be chosen.
        beyond: style parameters beyond the ranges that any network but the judges has seen.
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
    """Draw every case in every mode and return what the judges see.

    Returns:
        Mode to its numbers:

        - `style`: share of pictures whose style the judge names rightly, of all styles of the world (top 1)
        - `likeness`: mean cosine of the reward's descriptor to the style reference
        - `identity`: area under the curve of identity verification: the chance that a picture is found more like the
          content photo than another picture is like a stranger of its class
        - `resemblance`: mean cosine of the identity judge to the content photo
        - `text`: share of class, colours and marking of the target that the judge names
        - `leak`: share of pictures in which the judge sees the class of the style reference
        - `copied`: mean correlation of layout with the style reference

        and `true`, the same numbers of the renders themselves, which bound what the judges can see. Where there is a
        content reference, and for `true`, `joint/preserved` and the like are those of one layout alone: to restyle a
        photo and to show somebody elsewhere are two tasks, and one number for both can hide either.
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
    """Return what the judges see in each picture, named as the number that is made of it."""
    drawn, references, contents, strangers = (
        torch.cat([picture_tensor(picture) for picture in column])
        for column in (pictures, [c.style for c in of], [c.content for c in of], [c.stranger for c in of])
    )
    styles = torch.tensor([STYLES.index(case.triplet.style.name) for case in of])
    named = judges.style(drawn).argmax(1)
    vectors, traits = judges.identity(drawn)
    right, wrong = ((vectors * judges.identity(photos)[0]).sum(1) for photos in (contents, strangers))
    wanted = torch.tensor([traits_of(case.triplet.target.individual) for case in of])
    told = torch.stack([part.argmax(1) for part in traits], 1)
    said = [0, 1, 2, 4]  # the accent is in no caption
    reference_class = torch.tensor([SUBJECTS.index(case.triplet.style_ref.subject) for case in of])
    return {
        "style": named == styles,
        "likeness": (judges.descriptor(drawn) * judges.descriptor(references)).sum(1),
        "identity": torch.stack([right, wrong], 1),
        "resemblance": right,
        "text": told[:, said] == wanted[:, said],
        "leak": told[:, 0] == reference_class,
        "copied": layout_likeness(drawn, references),
    }


def _numbers(seen: dict[str, Tensor]) -> dict[str, float]:
    """Return the area of the identity judge's scores and the mean of everything else."""
    return {name: area(*values.unbind(1)) if name == "identity" else _mean(values) for name, values in seen.items()}


def _mean(values: Tensor) -> float:
    return float(values.float().mean())
