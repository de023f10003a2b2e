"""Measures of style and of copying that no training sees: fixed filters, no weights.

A reward that is hacked goes on rising while a measure of another make stands still or falls.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["layout_likeness", "layout_vector", "style_likeness"]

_SCALES = 4
_GREY = (0.299, 0.587, 0.114)


def style_likeness(a: Tensor, b: Tensor) -> Tensor:
    """Return how alike two pictures' textures and colours are, `b`, 1 for the same statistics, about 0 for none shared.

    The statistics are the covariances of colours and of the responses of oriented derivatives at four scales, whatever
    their place in the picture: Gram matrices as in Gatys et al. 2016 ("Image Style Transfer Using Convolutional Neural
    Networks", eq. 3), over a fixed filter bank as in Portilla and Simoncelli 2000 instead of a trained network.

    Args:
        a: pictures `b 3 h w` in -1..1.
        b: pictures `b 3 h w` in -1..1, of any size.
    """
    of_a, of_b = _statistics(a), _statistics(b)
    distance = (of_a - of_b).norm(dim=1) / (of_a.norm(dim=1) + of_b.norm(dim=1))
    return 1 - distance


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


def _statistics(x: Tensor) -> Tensor:
    """Return the square-rooted covariances of all scales in one vector per picture, `b n`."""
    x = F.interpolate(x, (256, 256), mode="bilinear", antialias=True) / 2 + 0.5
    parts = []
    for _ in range(_SCALES):
        maps = torch.cat([x - 0.5, _derivatives(x)], dim=1).flatten(2)
        gram = maps @ maps.transpose(1, 2) / maps.shape[-1]
        rows, columns = torch.triu_indices(gram.shape[1], gram.shape[1], device=x.device)
        upper = gram[:, rows, columns]
        parts.append(upper.sign() * upper.abs().sqrt())  # in units of the responses, so that scales weigh alike
        x = F.avg_pool2d(x, 2)
    return torch.cat(parts, dim=1)


def _derivatives(x: Tensor) -> Tensor:
    """Return the brightness' slopes across four orientations and their strength, `b 5 h w`."""
    grey = (x * x.new_tensor(_GREY)[:, None, None]).sum(dim=1, keepdim=True)
    sobel = x.new_tensor([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]) / 4
    diagonal = x.new_tensor([[-2, -1, 0], [-1, 0, 1], [0, 1, 2]]) / 4
    bank = torch.stack([sobel, sobel.T, diagonal, diagonal.flip(0)])[:, None]
    slopes = F.conv2d(F.pad(grey, (1, 1, 1, 1), mode="replicate"), bank)
    return torch.cat([slopes, slopes.square().sum(dim=1, keepdim=True).sqrt()], dim=1)
