"""Pictures of IMAGEs as training reads them from files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from .convert import filled_outside, pil_from_image, rgb_and_alpha
from .left_out import LEFT_OUT
from .pictures import check_images

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["pil_pictures"]

_WHITE = 1.0
"""Behind what is transparent, as where training reads a file."""


def pil_pictures(role: str, *images: Tensor | None) -> list[Image.Image]:
    """Return the pictures of several IMAGEs `b h w c` in RGB, as training would read them from files.

    Args:
        role: of the pictures, for messages.
        images: None and what is left out count as none.

    Raises:
        UserError: an IMAGE cannot be read; see `check_images`.
    """
    found = []
    for image in images:
        if image is None or image is LEFT_OUT:
            continue
        check_images(image, role)
        rgb, alpha = rgb_and_alpha(image)
        found += [pil_from_image(one) for one in (rgb if alpha is None else filled_outside(rgb, alpha, _WHITE))]
    return found
