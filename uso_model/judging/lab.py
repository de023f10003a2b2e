"""CIE L*a*b*, in which equal distances look about equally far apart."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["delta_e", "lab"]

# Linear sRGB to XYZ under D65, divided by the white: IEC 61966-2-1, and CIE 15:2004, section 8.2.1.
_TO_XYZ = ((0.4124, 0.3576, 0.1805), (0.2126, 0.7152, 0.0722), (0.0193, 0.1192, 0.9505))
_DARK = 6 / 29


def lab(pixels: Tensor) -> Tensor:
    """Return L* (0..100), a* and b* of sRGB pictures, `b 3 h w`.

    Source: CIE 15:2004, section 8.2.1, after the transfer function of IEC 61966-2-1.

    Args:
        pixels: `b 3 h w` in -1..1; what is beyond is cut.
    """
    x = pixels.float().clamp(-1, 1) / 2 + 0.5
    linear = torch.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)
    matrix = x.new_tensor(_TO_XYZ)
    matrix = matrix / matrix.sum(dim=1, keepdim=True)  # white is 1 1 1
    xyz = torch.einsum("ij,bjhw->bihw", matrix, linear)
    f = torch.where(xyz > _DARK**3, xyz.clamp(min=1e-9) ** (1 / 3), xyz / (3 * _DARK**2) + 4 / 29)
    fx, fy, fz = f.unbind(dim=1)
    return torch.stack([116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)], dim=1)


def delta_e(a: Tensor, b: Tensor, dim: int = 1) -> Tensor:
    """Return the colour difference CIE76, the distance in L*a*b* (CIE 15:2004, section 8.2.2.1); 2.3 is just seen."""
    return (a - b).norm(dim=dim)
