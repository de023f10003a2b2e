"""Our own transformer as an expert: the files of a recipe, with any LoRA of USO or UNO, in this process."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image
from pydantic import Field

from ....uso_model.errors import UserError
from ....uso_model.packing import PIXELS_PER_TOKEN
from ....uso_model.writing import sha256_of
from ...data.pictures import open_picture
from ...reading.errors import Origin
from ...reading.values import validated
from ...settings.base import Settings
from ..recipe import ExpertSettings
from ..steps import Request

if TYPE_CHECKING:
    from ...sampler import Sampler

__all__ = ["Drawing", "NetworkExpert", "network_expert"]


class Drawing(Settings):
    """How the network draws: an expert's `settings`."""

    steps: int = Field(25, gt=0, le=1000, description="Euler steps")
    guidance: float = Field(4.0, ge=0, description="distilled guidance")
    style: Path | None = Field(
        None, description="style reference of requests that bring none, such as a photograph, which makes USO draw one"
    )
    recipe: list[str] = Field(default_factory=list, description="name=value of the recipe's settings that differ")
    keep_encoders: bool = Field(
        True, description="keep them in memory beside the transformer; else texts are cached on disk"
    )


class NetworkExpert:
    """Draws with the networks of a recipe. Weights are read at the first picture."""

    workers = 1

    def __init__(self, make: Callable[[], Sampler], drawing: Drawing):
        """Take what makes the sampler, and how it is used."""
        self._make, self._drawing = make, drawing
        self._lock = threading.Lock()
        self._sampler: Sampler | None = None
        self._style: Image.Image | None = None

    def describe(self) -> dict[str, Any]:
        """Return files with hashes and what else decides a picture."""
        drawing = self._drawing
        style = None if drawing.style is None else sha256_of(drawing.style)
        told = {"steps": drawing.steps, "guidance": drawing.guidance, "style": style}
        with self._lock:
            return {"kind": "network", **self._opened().describe(), **told}

    def __call__(self, request: Request) -> Image.Image:
        """Draw.

        Raises:
            UserError: sides that are not of whole tokens, or files that cannot be used.
        """
        from ...sampler import Conditions

        if request.width % PIXELS_PER_TOKEN or request.height % PIXELS_PER_TOKEN:
            raise UserError(
                f"a network draws sides that are multiples of {PIXELS_PER_TOKEN}, and {request.width}x{request.height} "
                "is none; correct width and height"
            )
        with self._lock:
            sampler, style = self._opened(), request.style
            if style is None and self._drawing.style is not None:
                self._style = self._style or open_picture(self._drawing.style, otherwise="name another one")
                style = self._style
            wanted = Conditions(request.prompt, style, request.content)
            if not self._drawing.keep_encoders:
                sampler.encode([wanted])
            return sampler.draw([wanted], [request.seed], request.width, request.height)[0]

    def _opened(self) -> Sampler:
        if self._sampler is None:
            self._sampler = self._make()
        return self._sampler


def network_expert(settings: ExpertSettings) -> NetworkExpert:
    """Return the expert of `recipe`, with LoRA and projector of the folder `files` in the place of the recipe's.

    It draws on the first of `devices`; whoever starts a process for each device names one.

    Raises:
        UserError: no recipe, or a setting is wrong.
    """
    if settings.recipe is None:
        raise UserError("an expert of the kind network needs the model's files: name a recipe or a run's folder")
    recipe = settings.recipe
    drawing = validated(Drawing, settings.settings, Origin("an expert's settings", None, settings.settings))
    if drawing.style is not None:
        open_picture(drawing.style, otherwise="name another one")

    def make() -> Sampler:
        import torch

        from ...cli import device
        from ...sampler import Sampler, sampling_recipe

        config = sampling_recipe(recipe, drawing.recipe, settings.files, "files")
        where = torch.device(device(settings.devices[0] if settings.devices else None))
        return Sampler(config, drawing.steps, drawing.guidance, where, kept=not drawing.keep_encoders)

    return NetworkExpert(make, drawing)
