"""The scores of pictures, one by one: what cannot be scored is named, and the others are scored all the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import comfy.model_management
import torch
from torch import Tensor

from ...uso_model.errors import UserError
from .convert import rgb_and_alpha
from .left_out import LEFT_OUT
from .pictures import check_images
from .score_judges import Likeness

__all__ = ["NO_SCORE", "Scored", "by_pairs", "by_pictures", "by_words", "flat_places", "given", "scored_pictures"]

NO_SCORE = float("nan")

Pairs = Callable[[Tensor, Tensor], Tensor]
"""Likenesses `b` of pictures `b 3 h w` and `b 3 h w` in -1..1."""


class Scored(NamedTuple):
    """One picture."""

    image: Tensor | None
    """`1 h w c`; None for what is no picture at all."""
    entry: int
    """Which entry of the list it came in: the reference of the same number belongs to it."""
    fault: str = ""
    """Why it has no score, in one sentence."""


def given(value: Any) -> list[Any]:
    """Return the entries of an input that takes lists; none where all are left out, as their node is muted."""
    entries = list(value) if isinstance(value, list | tuple) else [value]  # a tuple comes for a link: `(None,)`
    return [] if all(entry is LEFT_OUT or entry is None for entry in entries) else entries


def scored_pictures(entries: Sequence[Any], role: str) -> list[Scored]:
    """Return the pictures of a list of IMAGE batches, in order, those that cannot be read with their fault.

    Args:
        entries: batches `b h w c`, or what stands in their place.
        role: name for messages.
    """
    found = []
    for number, entry in enumerate(entries):
        if not isinstance(entry, Tensor):
            kind = "nothing" if entry is None or entry is LEFT_OUT else type(entry).__name__
            fault = f"Got {kind} as {role} image, expected pictures: connect an IMAGE output."
            found.append(Scored(None, number, fault))
            continue
        whole = entry.ndim != 4 or entry.shape[0] == 0
        for part in [entry] if whole else entry.split(1):
            try:
                check_images(part, role)
                found.append(Scored(part, number))
            except UserError as error:
                shown = not whole and part.shape[-1] in (1, 3, 4) and min(part.shape[1:3]) > 1
                found.append(Scored(part if shown else None, number, str(error)))
    return found


def flat_places(pictures: Sequence[Scored]) -> list[int]:
    """Return the places of pictures that can be read and show one colour."""
    return [place for place, one in enumerate(pictures) if not one.fault and _is_flat(one)]


def by_pictures(
    pictures: Sequence[Scored], references: Sequence[Any], likeness: Likeness, role: str
) -> tuple[list[float], list[str]]:
    """Return the mean cosine of each picture with its references, NaN where there is none, and what is to be said.

    Args:
        pictures: as `scored_pictures` returns them.
        references: one batch for each entry of the pictures' list; the last one serves for those that remain.
        likeness: the judge.
        role: name for messages.
    """
    readable = [place for place, one in enumerate(pictures) if not one.fault]
    values = [NO_SCORE] * len(pictures)
    own, said = _references(pictures, references, role)
    if not readable or not any(own.values()):
        return values, said
    vectors = likeness.vectors([_tensor(pictures[place]) for place in readable])
    of_references = {number: likeness.vectors([_tensor(one) for one in kept]) for number, kept in own.items() if kept}
    for place, vector in zip(readable, vectors, strict=True):
        number = min(pictures[place].entry, len(references) - 1)
        if number in of_references:
            values[place] = float((of_references[number] @ vector).mean())
    return values, said


def by_pairs(pictures: Sequence[Scored], references: Sequence[Any], measure: Pairs) -> list[float]:
    """Return the mean of a measure without weights of each picture and its references, NaN where there is none."""
    own, _ = _references(pictures, references, "")
    found = []
    for one in pictures:
        comfy.model_management.throw_exception_if_processing_interrupted()
        kept = [] if one.fault else own[min(one.entry, len(references) - 1)]
        likenesses = [float(measure(_pixels(one), _pixels(other))) for other in kept]
        found.append(sum(likenesses) / len(likenesses) if likenesses else NO_SCORE)
    return found


def by_words(pictures: Sequence[Scored], prompts: Sequence[str], likeness: Likeness) -> list[float]:
    """Return the cosine of each picture with its prompt, NaN where that is empty."""
    readable = [place for place, one in enumerate(pictures) if not one.fault]
    values = [NO_SCORE] * len(pictures)
    if not readable:
        return values
    words = likeness.text_vectors(prompts)
    vectors = likeness.vectors([_tensor(pictures[place]) for place in readable])
    for place, vector in zip(readable, vectors, strict=True):
        number = min(pictures[place].entry, len(prompts) - 1)
        if prompts[number].strip():
            values[place] = float(words[number] @ vector)
    return values


def _references(
    pictures: Sequence[Scored], references: Sequence[Any], role: str
) -> tuple[dict[int, list[Scored]], list[str]]:
    """Return the references that can be read by the number of their entry, and sentences about the others."""
    used = {min(one.entry, len(references) - 1) for one in pictures}
    own, said = {}, []
    for number in sorted(used):
        every = scored_pictures([references[number]], role)
        own[number] = [one for one in every if not one.fault]
        said += [one.fault for one in every if one.fault]
        if any(_is_flat(one) for one in own[number]):
            said.append(f"A {role} image shows one colour and nothing else, so likeness to it says little.")
    if len(used) < len(references):
        said.append(
            f"{len(references)} {role} images came as a list for {len(used)} entries of images: the last "
            f"{len(references) - len(used)} are not used; connect a batch to count several as one reference."
        )
    return own, list(dict.fromkeys(said))


def _tensor(one: Scored) -> Tensor:
    assert one.image is not None
    return one.image


def _pixels(one: Scored) -> Tensor:
    """Return `1 3 h w` in -1..1."""
    return rgb_and_alpha(_tensor(one).detach().cpu())[0].movedim(-1, 1) * 2 - 1


def _is_flat(one: Scored) -> bool:
    rgb = rgb_and_alpha(_tensor(one))[0]
    return bool(torch.equal(rgb.amax(dim=(1, 2)), rgb.amin(dim=(1, 2))))
