"""Measures of style and of layout that no training sees: no weights.

A reward that is hacked goes on rising while a measure of another make stands still or falls.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .lab import lab

__all__ = [
    "layout_likeness",
    "layout_vector",
    "structure_likeness",
    "structure_vector",
    "style_likeness",
    "style_statistics",
]

_GREY = (0.299, 0.587, 0.114)

LONGEST = 256
"""Longer side in pixels at which strokes are compared; smaller pictures stay as they are."""

_FINEST, _STRONGEST = 0.4, 102.4
"""Slopes in Delta E a pixel that are told apart at all, from below what is seen to black beside white."""
_FINE = tuple(_FINEST * 2 ** (i / 2) for i in range(17))
_COARSE = tuple(_FINEST * 2**i for i in range(9))

_SIDE, _CELL, _SIGMA = 128, 4, 1.5
"""Pixels at which edges are looked at, of a place that is compared, and of the blur that takes strokes away."""

_BACKDROP = 6 / 127.5
"""Largest difference of a backdrop's pixels from its colour: what compression leaves of one flat colour."""
_LEAST_SEEN = 16
"""Pixels; with fewer before the backdrop, all of the picture is seen."""


def style_likeness(a: Tensor, b: Tensor) -> Tensor:
    """Return how alike the strokes and the shading of two pictures are, `b`: 1 for equal statistics, 0 for none shared.

    It is the cosine of their `style_statistics`. Colours themselves, places and shapes do not count.

    Args:
        a: pictures `b 3 h w` in -1..1.
        b: pictures `b 3 h w` in -1..1, of any size.
    """
    return (style_statistics(a) * style_statistics(b)).sum(dim=1)


def style_statistics(x: Tensor) -> Tensor:
    """Return unit vectors `b 180`: how the slopes of colour are spread beside weak and beside strong edges.

    The slope at a pixel is the length of L*a*b*'s gradient. Its histogram is taken for each octave of the strongest
    slope around the pixel (3 x 3), and normalised there. So it says how edges are drawn and how surfaces are shaded,
    and hardly how many edges there are, which is the subject's affair. The octave's own share comes in by its fourth
    root alone. A cosine of root histograms is Bhattacharyya's coefficient. Statistics of slopes that are conditioned on
    their neighbours: Portilla and Simoncelli 2000, "A Parametric Texture Model Based on Joint Statistics of Complex
    Wavelet Coefficients", section 2.2 (there of wavelets' magnitudes).

    Args:
        x: pictures `b 3 h w` in -1..1. What has the colour of the border is a backdrop and is left out, if most of the
            border has one colour.
    """
    longest = max(x.shape[-2:])
    if longest > LONGEST:
        size = [max(1, round(side * LONGEST / longest)) for side in x.shape[-2:]]
        x = F.interpolate(x.float(), size, mode="bilinear", antialias=True)
    slope = _slope(lab(x))
    strongest = F.max_pool2d(slope, 3, stride=1, padding=1)
    fine = torch.bucketize(slope, slope.new_tensor(_FINE))
    coarse = torch.bucketize(strongest, slope.new_tensor(_COARSE))
    cell = (coarse * (len(_FINE) + 1) + fine).flatten(1)
    counts = torch.zeros(len(x), (len(_COARSE) + 1) * (len(_FINE) + 1), device=x.device)
    counts = counts.scatter_add_(1, cell, _seen(x).flatten(1).float()).unflatten(1, (len(_COARSE) + 1, -1))
    of_octave = counts.sum(dim=2, keepdim=True)
    share = of_octave / of_octave.sum(dim=1, keepdim=True)
    weighed = counts / of_octave.clamp(min=1) * share.sqrt()
    return F.normalize(weighed.sqrt().flatten(1), dim=1)


def layout_likeness(a: Tensor, b: Tensor) -> Tensor:
    """Return how alike two pictures' layouts are, `b`, the correlation of their brightness at 16 x 16 pixels.

    Between a drawn picture and its style reference it tells copying: style should come over, places should not.
    """
    return (layout_vector(a) * layout_vector(b)).sum(dim=1)


def layout_vector(x: Tensor) -> Tensor:
    """Return where pictures `b 3 h w` in -1..1 are bright, as unit vectors `b 256`."""
    grey = (x * x.new_tensor(_GREY)[:, None, None]).sum(dim=1, keepdim=True)
    flat = F.interpolate(grey, (16, 16), mode="area").flatten(1)
    return F.normalize(flat - flat.mean(dim=1, keepdim=True), dim=1)


def structure_likeness(a: Tensor, b: Tensor) -> Tensor:
    """Return how alike the places and directions of two pictures' edges are, `b`, -1..1: 1 for the same drawing.

    It is the cosine of their `structure_vector`. Unlike `layout_likeness` it does not see which side of an edge is
    bright, so that a drawing in any colours can be compared with a photo.

    Args:
        a: pictures `b 3 h w` in -1..1.
        b: pictures `b 3 h w` in -1..1, of any size; both are squashed to squares.
    """
    return (structure_vector(a) * structure_vector(b)).sum(dim=1)


def structure_vector(x: Tensor) -> Tensor:
    """Return where the edges of pictures `b 3 h w` in -1..1 are and which way they run, as unit vectors `b 2048`.

    The structure tensor of L*a*b* gives at each pixel a strength and an angle, which is doubled, so that light on dark
    and dark on light are one. The vectors of that angle, as long as the root of the tensor's trace, are averaged over
    32 x 32 places. Source: Bigun and Granlund 1987, "Optimal Orientation Detection of Linear Symmetry".
    """
    square = F.interpolate(x.float(), (_SIDE, _SIDE), mode="bilinear", antialias=True, align_corners=False)
    steps = torch.arange(-5, 6, device=x.device)
    weights = torch.exp(-steps.square() / (2 * _SIGMA**2))
    weights = weights / weights.sum()
    flat = F.pad(lab(square).flatten(0, 1)[:, None], (5, 5, 5, 5), mode="replicate")
    soft = F.conv2d(F.conv2d(flat, weights[None, None, :, None]), weights[None, None, None])
    soft = F.pad(soft, (1, 1, 1, 1), mode="replicate").unflatten(0, (len(x), 3)).squeeze(2)
    across = soft[..., 1:-1, 2:] - soft[..., 1:-1, :-2]
    down = soft[..., 2:, 1:-1] - soft[..., :-2, 1:-1]
    xx, yy, xy = (product.sum(dim=1) for product in (across * across, down * down, across * down))
    directions = torch.stack([xx - yy, 2 * xy], dim=1) / (xx + yy).clamp(min=1e-6).sqrt()[:, None]
    return F.normalize(F.avg_pool2d(directions, _CELL).flatten(1), dim=1)


def _slope(colours: Tensor) -> Tensor:
    """Return the length of the colours' gradient, `b 1 h w`, in units of a step between two pixels (Sobel)."""
    sobel = colours.new_tensor([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]) / 4
    flat = F.pad(colours.flatten(0, 1)[:, None], (1, 1, 1, 1), mode="replicate")
    slopes = F.conv2d(flat, torch.stack([sobel, sobel.T])[:, None])
    return slopes.unflatten(0, (len(colours), 3)).square().sum(dim=(1, 2)).sqrt()[:, None]


def _seen(x: Tensor) -> Tensor:
    """Return which pixels are no backdrop, `b 1 h w`, and not beside it: the outline against it is the subject's."""
    border = torch.cat([x[..., 0, :], x[..., -1, :], x[..., :, 0], x[..., :, -1]], dim=-1)
    colour = border.median(dim=-1).values
    plain = ((border - colour[..., None]).abs().amax(dim=1) <= _BACKDROP).float().mean(dim=1) >= 0.5
    backdrop = ((x - colour[..., None, None]).abs().amax(dim=1, keepdim=True) <= _BACKDROP) & plain[:, None, None, None]
    seen = F.max_pool2d(backdrop.float(), 3, stride=1, padding=1) == 0
    few = seen.sum(dim=(1, 2, 3), keepdim=True) < _LEAST_SEEN
    return seen | few
