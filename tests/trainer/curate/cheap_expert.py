"""A cheap expert whose pictures follow from the request alone; each call leaves a mark in a file.

Other processes import it by this file's own name: `tests` is the name of ComfyUI's tests, too.
"""

from __future__ import annotations

import os
import random
import time
from pathlib import Path
from typing import Any

from comfyui_uso.trainer.curate.recipe import ExpertSettings
from comfyui_uso.trainer.curate.steps import Again, Request
from comfyui_uso.uso_model.errors import UserError
from PIL import Image


class Cheap:
    """Paints noise of the seed, after a while."""

    def __init__(self, settings: ExpertSettings):
        self.workers = settings.workers or 1
        self.settings = settings.settings
        self.device = settings.devices[0] if settings.devices else ""

    def describe(self) -> dict[str, Any]:
        """See `Expert`."""
        return {"kind": "cheap"}

    def __call__(self, request: Request) -> Image.Image:
        """Draw, and go wrong where the settings say so: `fails` is every third seed."""
        with Path(self.settings["calls"]).open("a", encoding="utf-8") as file:
            file.write(f"{os.getpid()} {self.device} {request.seed} {time.monotonic():.3f}\n")
        if self.settings.get("dies"):
            os._exit(3)
        if self.settings.get("stops"):
            raise UserError("no such model; put it there")
        time.sleep(self.settings.get("seconds", 0))
        if self.settings.get("fails") and request.seed % 3 == 0:
            raise Again("a bad hand")
        return noise(request.seed)


def noise(seed: int) -> Image.Image:
    """Return a picture that is like no other."""
    return Image.frombytes("RGB", (16, 16), random.Random(seed).randbytes(16 * 16 * 3))


def expert(settings: ExpertSettings) -> Cheap:
    """Make it."""
    return Cheap(settings)
