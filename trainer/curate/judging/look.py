"""The cheap gate: sizes, pictures that show nothing, and perceptual hashes. Needs neither weights nor PyTorch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageStat

from ..pictures import Pictures
from ..steps import LOOK, TARGET, Result, StepPlan, Task

__all__ = ["Look", "contrast", "cut_off", "grain"]


class Look:
    """Looks at the pictures of a row. Hashes are those of `imagehash.phash` of the package ImageHash, 64 bits."""

    def __init__(self, references: Sequence[str]):
        """Take the names of the references that a row has.

        Raises:
            ModuleNotFoundError: ImageHash is not there.
        """
        import imagehash

        seen = (TARGET, *references)
        scores = [f"contrast_{name}" for name in seen]
        scores += [f"{score}_{name}" for name in references for score in ("width", "height", "cut", "grain", "phash")]
        self.plan = StepPlan(LOOK, seen, settings={"version": 3}, workers=2, scores=tuple(scores))
        self._hash = imagehash.phash

    def __call__(self, task: Task, pictures: Pictures) -> Result:
        """Do it; see `Step`."""
        hashes: dict[str, Any] = {}
        values: dict[str, Any] = {}
        for name in self.plan.needs:
            picture = task.open(pictures, name)
            hashes[name] = self._hash(picture)
            values[f"contrast_{name}"] = contrast(picture)
            if name != TARGET:
                values |= {f"width_{name}": picture.width, f"height_{name}": picture.height}
                values |= {f"cut_{name}": cut_off(picture), f"grain_{name}": grain(picture)}
                values[f"phash_{name}"] = int(hashes[name] - hashes[TARGET])
        values["phash"] = {name: str(found) for name, found in hashes.items()}
        return Result(values=values)


def contrast(picture: Image.Image) -> float:
    """Return the standard deviation of an RGB picture's strongest channel, 0 (one colour) to 127.5."""
    return round(max(ImageStat.Stat(picture).stddev), 3)


def cut_off(picture: Image.Image) -> float:
    """Return the share of an RGB picture at its lower edge that is of one colour, as where a file was cut short."""
    pixels = np.asarray(picture)
    differ = np.flatnonzero((pixels != pixels[-1, 0]).any(axis=(1, 2)))
    return round(1 - (int(differ[-1]) + 1) / len(pixels), 4) if len(differ) else 1.0


def grain(picture: Image.Image) -> float:
    """Return the mean difference of pixels of an RGB picture from the next one of the line, 0 to 255; noise has 85."""
    pixels = np.asarray(picture).astype(np.int16)
    return round(float(np.abs(np.diff(pixels, axis=1)).mean()), 3) if picture.width > 1 else 0.0
