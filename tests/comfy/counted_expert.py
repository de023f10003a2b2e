"""USO-mini in a process of its own, each of whose calls leaves a line in a file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from comfyui_uso.mini.expert import bundled_photographer
from comfyui_uso.trainer.curate.recipe import ExpertSettings
from comfyui_uso.trainer.curate.steps import Expert, Request
from PIL import Image


class Counted:
    """Draws as another expert does."""

    def __init__(self, expert: Expert, calls: Path):
        self.workers, self.describe = expert.workers, expert.describe
        self._expert, self._calls = expert, calls

    def __call__(self, request: Request) -> Image.Image:
        """Draw, and say so before."""
        with self._calls.open("a", encoding="utf-8") as file:
            file.write(f"{os.getpid()}\n")
        return self._expert(request)


def photographer(settings: ExpertSettings) -> Counted:
    """Make it; `calls` of its settings is the file."""
    told: dict[str, Any] = dict(settings.settings)
    calls = Path(told.pop("calls"))
    return Counted(bundled_photographer(settings.model_copy(update={"settings": told})), calls)
