"""Drawing with our own sampler: the files of a recipe, and a LoRA and projector that a run has exported."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from PIL import Image

from ....uso_model.errors import UserError
from ....uso_model.packing import PIXELS_PER_TOKEN
from ...sampler import Conditions, Sampler, sampling_recipe
from ..bench import Row
from .drawer import NOISE, Inputs

__all__ = ["FluxDrawer", "flux_drawer"]


class FluxDrawer:
    """Draws with the networks of a recipe, whichever family they are of."""

    noise = NOISE

    def __init__(self, inputs: Inputs, sampler: Sampler):
        """Take what `flux_drawer` has made."""
        self.batch = inputs.batch or 1
        self._inputs, self._sampler = inputs, sampler

    def describe(self) -> dict[str, Any]:
        """Return the files with short hashes of their contents, and what else decides the pictures."""
        told = self._sampler.describe()
        return {"name": "flux", **told, "settings": {**told["settings"], "batch": self.batch}}

    def prepare(self, rows: Sequence[Row]) -> None:
        """Encode all prompts and references before the transformer is read."""
        self._sampler.encode([self._conditions(row) for row in rows])

    def __call__(self, rows: Sequence[Row], samples: Sequence[int], seeds: Sequence[int]) -> list[Image.Image]:
        """Draw; see `Drawer`."""
        bench = self._inputs.bench
        return self._sampler.draw([self._conditions(row) for row in rows], seeds, bench.width, bench.height)

    def _conditions(self, row: Row) -> Conditions:
        style, content = (None if key is None else self._inputs.path(key) for key in (row.style, row.content))
        return Conditions(row.prompt, style, content)


def flux_drawer(inputs: Inputs) -> FluxDrawer:
    """Return the drawer of a recipe, with a run's LoRA and projector in the place of the recipe's where `files` is set.

    Raises:
        UserError: no recipe, a file is missing, or the bench asks for a size that is not of whole tokens.
    """
    if inputs.recipe is None:
        raise UserError("the drawer flux needs the model's files: name a recipe or a run's folder with --recipe")
    bench = inputs.bench
    if bench.width % PIXELS_PER_TOKEN or bench.height % PIXELS_PER_TOKEN:
        raise UserError(
            f"the bench asks for {bench.width}x{bench.height}, but sides are multiples of {PIXELS_PER_TOKEN}; build it "
            "again with another --size"
        )
    config = sampling_recipe(inputs.recipe, inputs.texts, inputs.files, "--files")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return FluxDrawer(inputs, Sampler(config, bench.steps, bench.guidance, device))
