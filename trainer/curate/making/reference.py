"""The references: a style reference and a content reference, drawn by experts of the target."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from PIL import Image

from ....uso_model.packing import PIXELS_PER_TOKEN
from ..pictures import Pictures
from ..steps import CONTENT, LAYOUTS, STYLE, TARGET, Expert, Rejected, Request, Result, StepPlan, Task
from .instructions import Instructions

__all__ = ["DrawContent", "DrawStyle", "Maker", "size_like"]


_ARTICLE = re.compile(r"^\s*(an?|the)\s+", re.IGNORECASE)


class Maker(NamedTuple):
    """Who makes a reference, and by which instructions."""

    name: str
    """Of the expert among the run's."""
    expert: Expert
    instructions: Instructions


class DrawStyle:
    """Stylise: another subject in the target's style."""

    def __init__(self, maker: Maker, width: int, height: int, seed: int):
        """Take who makes it and the size of its pictures."""
        settings = {**_told(maker), "width": width, "height": height, "seed": seed}
        self.plan = StepPlan(
            STYLE, (TARGET,), ("subject", *maker.instructions.reads), settings, maker.name, maker.expert.workers
        )
        self._maker, self._size = maker, (width, height)

    def __call__(self, task: Task, pictures: Pictures) -> Result:
        """Do it; see `Step`.

        Raises:
            Rejected: there is no other subject.
        """
        row = task.row
        if not row.subject:
            raise Rejected("every subject of the list shares a word with what the source says of the picture")
        prompt = self._maker.instructions.choose(row, row.subject)
        request = Request(prompt, task.seed, *self._size, style=task.open(pictures, TARGET))
        return Result({STYLE: self._maker.expert(request)}, notes={"subject": row.subject, "prompt": prompt})


class DrawContent:
    """De-stylise: a photo of the target's subject, of the same layout or of another one."""

    def __init__(self, makers: Mapping[str, Maker], width: int, height: int, seed: int):
        """Take for each layout who makes it."""
        sizes = {"width": width, "height": height, "seed": seed}
        settings = {LAYOUTS: {layout: {**_told(maker), **sizes} for layout, maker in makers.items()}}
        reads = {"layout", "about.subject"}.union(*(maker.instructions.reads for maker in makers.values()))
        places = {layout: (maker.name, maker.expert.workers) for layout, maker in makers.items()}
        self.plan = StepPlan(CONTENT, (TARGET,), tuple(sorted(reads)), settings, by_layout=places)
        self._makers, self._size = makers, (width, height)

    def __call__(self, task: Task, pictures: Pictures) -> Result:
        """Do it; see `Step`."""
        row = task.row
        maker, target = self._makers[row.layout], task.open(pictures, TARGET)
        size = size_like(target, *self._size) if row.layout == "preserved" else self._size
        prompt = maker.instructions.choose(row, _ARTICLE.sub("", row.about.get("subject", "")))
        return Result(
            {CONTENT: maker.expert(Request(prompt, task.seed, *size, content=target))}, notes={"prompt": prompt}
        )


def size_like(picture: Image.Image, width: int, height: int) -> tuple[int, int]:
    """Return a size of whole tokens with the shape of a picture and about as many pixels as `width` x `height`.

    A layout is kept in a picture of the same shape only.
    """
    scale = (width * height / (picture.width * picture.height)) ** 0.5
    sides = (max(1, round(side * scale / PIXELS_PER_TOKEN)) * PIXELS_PER_TOKEN for side in picture.size)
    return next(sides), next(sides)


def _told(maker: Maker) -> dict[str, object]:
    return {"expert": maker.expert.describe(), "instructions": maker.instructions.hash}
