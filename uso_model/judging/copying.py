"""Measures of copying: what came over from a reference that should have stayed there.

Vectors and pictures in, numbers out; which judge made the vectors is the caller's choice.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .lab import delta_e, lab

__all__ = ["border_colour", "border_difference", "copy_paste", "crop_likeness", "crops", "style_leak"]

SCALES = (1.0, 0.7, 0.5)
"""Sides of the crops, as shares of the picture's."""
BORDER = 0.05
"""Width of the border, as a share of the shorter side."""
_SAME = 1e-6
"""Angle below which two vectors are one."""


def copy_paste(drawn: Tensor, target: Tensor, reference: Tensor) -> Tensor:
    """Return how much nearer a drawing is to the reference it was fed than to another picture of the subject, `b`.

    (angle(drawn, target) - angle(drawn, reference)) / angle(target, reference): 1 for the reference itself (copied), 0
    for as far from either, -1 for the target. Source: MultiID-Bench, in "WithAnyone" (arXiv 2510.14975), its
    copy-paste metric; as there, 0 where target and reference are one.

    Args:
        drawn: vectors of a judge of subjects, `b D`; lengths do not matter.
        target: of another picture of the subject, `b D`.
        reference: of the picture that was fed, `b D`.
    """
    to_target, to_reference, apart = _angle(drawn, target), _angle(drawn, reference), _angle(target, reference)
    return torch.where(apart < _SAME, 0.0, (to_target - to_reference) / apart.clamp(min=_SAME))


def crops(pixels: Tensor, scales: tuple[float, ...] = SCALES) -> list[Tensor]:
    """Return pictures `b 3 h w` cut at each scale from a grid of places, half a crop apart; no crop is resized."""
    height, width = pixels.shape[-2:]
    found = []
    for scale in scales:
        h, w = (max(1, round(side * scale)) for side in (height, width))
        steps = max(1, round(2 * (1 / scale - 1))) + (scale < 1)
        tops, lefts = (_places(side - cut, steps) for side, cut in ((height, h), (width, w)))
        found += [pixels[..., top : top + h, left : left + w] for top in tops for left in lefts]
    return found


def crop_likeness(drawn: Tensor, reference: Tensor) -> Tensor:
    """Return the largest cosine between a crop of one picture and a crop of the other, a scalar.

    Args:
        drawn: vectors of the drawing's `crops`, `n D`.
        reference: of the reference's, `m D`.
    """
    return (F.normalize(drawn.float(), dim=-1) @ F.normalize(reference.float(), dim=-1).T).max()


def style_leak(drawn: Tensor, styles: Tensor, own: Tensor) -> Tensor:
    """Return how much more of its style picture's content a drawing has than of other style pictures', `b`.

    The cosine with the own style picture less the mean of those with all others: what style pictures have in common,
    and all that the judge sees in anything, falls out. NaN where there is no other style picture.

    Args:
        drawn: vectors of a judge of contents (CLIP-I), `b D`.
        styles: of the different style pictures, `n D`.
        own: the number of each drawing's own, `b`.
    """
    cosines = F.normalize(drawn.float(), dim=-1) @ F.normalize(styles.float(), dim=-1).T
    mine = cosines.gather(1, own[:, None])[:, 0]
    return mine - (cosines.sum(dim=1) - mine) / (len(styles) - 1) if len(styles) > 1 else mine * torch.nan


def border_difference(drawn: Tensor, style: Tensor) -> Tensor:
    """Return the colour difference of two pictures' borders, `b`, in Delta E (CIE76): 0 where the border came over.

    The difference of the mean colours of the border pixels in L*a*b*, see `lab.delta_e`. Compare it with that of
    shuffled style pictures: white borders are alike without any leak.

    Args:
        drawn: pictures `b 3 h w` in -1..1.
        style: pictures `b 3 h w` in -1..1, of any size.
    """
    return delta_e(border_colour(drawn), border_colour(style))


def border_colour(pixels: Tensor) -> Tensor:
    """Return the mean colour of the border pixels of pictures `b 3 h w` in -1..1, as L*, a* and b*, `b 3`."""
    height, width = pixels.shape[-2:]
    wide = max(1, round(BORDER * min(height, width)))
    inside = torch.zeros(height, width, dtype=torch.bool, device=pixels.device)
    inside[wide : height - wide, wide : width - wide] = True
    return lab(pixels)[..., ~inside].mean(dim=-1)


def _angle(a: Tensor, b: Tensor) -> Tensor:
    """Return angles by both legs of the triangle: arccos has no digits left near 0 (Kahan 2006, section 12)."""
    a, b = (F.normalize(vectors.double(), dim=-1) for vectors in (a, b))
    return 2 * torch.atan2((a - b).norm(dim=-1), (a + b).norm(dim=-1))


def _places(room: int, steps: int) -> list[int]:
    return sorted({round(room * step / max(1, steps - 1)) for step in range(steps)})
