"""How pictures are described by arithmetic on their pixels alone; the reading threads do it, picture by picture."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from ...uso_model.images import picture_tensor
from ...uso_model.judging.copying import border_colour
from ...uso_model.judging.likeness import layout_vector, style_statistics
from .features import Describer

__all__ = ["BORDER", "LAYOUT", "STROKES"]


def _by_pixels(name: str, digest: str, describe: Callable[[Tensor], Tensor]) -> Describer:
    return Describer(name, digest, lambda picture: describe(picture_tensor(picture))[0], Tensor.cpu)


STROKES = _by_pixels("style_likeness", "strokes-1", style_statistics)
LAYOUT = _by_pixels("layout_likeness", "layout-1", layout_vector)
BORDER = _by_pixels("border", "border-1", border_colour)
