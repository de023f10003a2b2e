"""Measures of what came over from a reference and should have stayed there, and those that need no judge's file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ...uso_model.judging.copying import copy_paste, crop_likeness, crops
from ...uso_model.judging.judge import Judge
from ...uso_model.judging.lab import delta_e
from .bench import Row
from .features import Describer, digest_of, whole
from .measures import Measure, Values
from .pixels import BORDER, LAYOUT, STROKES
from .scores import MeasureCard
from .view import View

__all__ = ["copying_measures", "weight_free_measures"]

Fed = Literal["content", "style"]


def copying_measures(judge: Judge, device: torch.device | str = "cpu") -> list[Measure]:
    """Return `copy_paste`, `crop_content` and `crop_style` by a judge of subjects, such as DINO."""
    seen, cut = whole(judge, device), _in_crops(judge, device)
    return [_copy_paste(seen), _crop_likeness(cut, "content"), _crop_likeness(cut, "style")]


def weight_free_measures() -> list[Measure]:
    """Return `style_likeness`, `layout`, `layout_content` and `border`, which are arithmetic on pixels.

    `layout` is the correlation with the style picture's layout, `layout_content` with the subject picture's: that is
    wanted where the layout is to be kept. `border` is the difference of the borders' colours to the style picture, in
    Delta E: low numbers may be a leak, or borders that are white in all pictures.
    """
    return [
        _against(_card("style_likeness", "style"), STROKES, "style", _cosine),
        _against(_card("layout", "copying", "lower"), LAYOUT, "style", _cosine),
        _against(_card("layout_content", "copying", "neither"), LAYOUT, "content", _cosine),
        _against(_card("border", "leak", "neither"), BORDER, "style", lambda a, b: float(delta_e(a, b, dim=0))),
    ]


def _card(
    name: str,
    sees: Literal["style", "copying", "leak"],
    better: Literal["higher", "lower", "neither"] = "higher",
    judge: str | None = None,
) -> MeasureCard:
    return MeasureCard(name=name, judge=judge, sees=sees, better=better, columns=[name])


def _fed(row: Row, which: Fed) -> str | None:
    return row.style if which == "style" else row.content


def _against(card: MeasureCard, seen: Describer, which: Fed, compare: Callable[[Tensor, Tensor], float]) -> Measure:
    """Return the comparison of a drawing with a reference that was fed."""

    def of(view: View) -> Values:
        key = _fed(view.row, which)
        if key is None:
            return {card.name: None}
        drawn, reference = view.drawn(seen.name), view.reference(seen.name, key)
        return {card.name: compare(torch.from_numpy(drawn), torch.from_numpy(reference))}

    return Measure(card, of, (seen,))


def _cosine(a: Tensor, b: Tensor) -> float:
    return float(a @ b)


def _copy_paste(seen: Describer) -> Measure:
    """The mean of `copying.copy_paste` over all pictures of the subject as targets, but the one that was fed."""

    def of(view: View) -> Values:
        fed = view.row.content
        targets = [key for key in view.row.against_subject if key != fed]
        if fed is None or not targets:
            return {"copy_paste": None}
        target = torch.from_numpy(view.references.stack(seen.name, targets))
        drawn, reference = (
            torch.from_numpy(vector).expand_as(target)
            for vector in (view.drawn(seen.name), view.reference(seen.name, fed))
        )
        return {"copy_paste": float(copy_paste(drawn, target, reference).mean())}

    return Measure(_card("copy_paste", "copying", "lower", seen.name), of, (seen,))


def _crop_likeness(cut: Describer, which: Fed) -> Measure:
    better: Literal["neither", "lower"] = "lower" if which == "style" else "neither"
    card = _card(f"crop_{which}", "copying", better, cut.name.partition(" ")[0])
    return _against(card, cut, which, lambda a, b: float(crop_likeness(a, b)))


def _in_crops(judge: Judge, device: torch.device | str) -> Describer:
    """Return how a judge looks at a picture in crops: features `n D`."""

    def prepare(picture: Image.Image) -> Tensor:
        pixels = torch.from_numpy(np.array(picture.convert("RGB"))).movedim(-1, 0)[None]
        return torch.stack([judge.prepare(Image.fromarray(cut[0].movedim(0, -1).numpy())) for cut in crops(pixels)])

    def embed(batch: Tensor) -> Tensor:
        return judge.embed(batch.flatten(0, 1).to(device)).unflatten(0, batch.shape[:2])

    return Describer(f"{judge.card.name} crops", digest_of(judge.card, "crops"), prepare, embed, batch=2)
