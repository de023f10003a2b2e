"""The target: the source's picture, read as training reads it."""

from __future__ import annotations

from collections.abc import Mapping

from ....uso_model.errors import UserError
from ....uso_model.packing import PIXELS_PER_TOKEN
from ....uso_model.untrusted import quoted
from ...data.pictures import decode_picture
from ..pictures import Pictures
from ..sources.source import Picture
from ..steps import TARGET, Again, Rejected, Result, StepPlan, Task

__all__ = ["ReadTarget"]

SCORES = ("target_width", "target_height")
_OTHERWISE = "take it out of the source"
_LONGEST = 32
"""Times as long as wide: of a longer picture no content reference can be made; see `fitted_size` of
uso_model/images.py, which is not asked because it needs torch."""


class ReadTarget:
    """Reads the source's picture of a row."""

    def __init__(self, pictures: Mapping[str, Picture]):
        """Take the pictures of the source by their keys."""
        self.plan = StepPlan(TARGET, reads=("key", "fingerprint"), settings={"version": 2}, workers=2, scores=SCORES)
        self._pictures = pictures

    def __call__(self, task: Task, pictures: Pictures) -> Result:
        """Do it; see `Step`.

        A file that is not there is not the row's fault: it may be back at the next start. A picture of which no
        reference can be made is, and so is one that `uso check` and training refuse.
        """
        key = task.row.key
        if key not in self._pictures:
            raise Again(f"{quoted(key)} is in the source no more")
        try:
            picture = decode_picture(self._pictures[key].read(), quoted(key), _OTHERWISE)
        except UserError as error:
            raise Rejected(str(error)) from error
        except OSError as error:
            raise Again(f"{quoted(key)} cannot be read ({quoted(error.strerror or error)})") from error
        size = f"{picture.width}x{picture.height}"
        if min(picture.size) < PIXELS_PER_TOKEN:
            raise Rejected(
                f"{quoted(key)} has {size} pixels, less than one token of {PIXELS_PER_TOKEN}; use a larger picture"
            )
        if max(picture.size) > _LONGEST * min(picture.size):
            raise Rejected(f"{quoted(key)} has {size} pixels, too narrow for a reference; crop it")
        return Result({TARGET: picture}, {"target_width": picture.width, "target_height": picture.height})
