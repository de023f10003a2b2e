"""A small run whose references are drawn by a function, for tests of what judges and people make of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from comfyui_uso.trainer.curate.build import build_steps
from comfyui_uso.trainer.curate.ledger import Ledger
from comfyui_uso.trainer.curate.pipeline import Progress
from comfyui_uso.trainer.curate.recipe import CurateConfig, ExpertSettings
from comfyui_uso.trainer.curate.rows import rows_of
from comfyui_uso.trainer.curate.run.local import run_local
from comfyui_uso.trainer.curate.run_folder import candidates, pipeline_of, read_run, write_run
from comfyui_uso.trainer.curate.sources.folder import folder_pictures
from comfyui_uso.trainer.curate.steps import Request
from PIL import Image

DRAWING: list[Callable[[Request], Image.Image]] = []
"""What draws now."""


class Drawer:
    """Draws what the test says."""

    workers = 1

    def describe(self) -> dict[str, Any]:
        return {"kind": "drawer"}

    def __call__(self, request: Request) -> Image.Image:
        return DRAWING[-1](request)


def drawer(settings: ExpertSettings) -> Drawer:
    return Drawer()


def blobs(seed: int, side: int = 32) -> Image.Image:
    """Return a picture of soft shapes."""
    small = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), np.uint8)
    return Image.fromarray(small).resize((side, side), Image.Resampling.BICUBIC)


def curated(
    run: Path,
    targets: Mapping[str, Image.Image],
    draw: Callable[[Request], Image.Image] = lambda request: blobs(request.seed),
    **settings: Any,
) -> list[Progress]:
    """Curate pictures, named by their paths in the source, and return the rows."""
    for name, picture in targets.items():
        path = run.parent / f"{run.name}-source" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            picture.save(path)
    told = {
        "source": {"path": str(run.parent / f"{run.name}-source")},
        "width": 32,
        "height": 32,
        "experts": {"drawer": {"kind": f"{__name__}:drawer"}},
        "style": {"expert": "drawer"},
        "content_kept": {"expert": "drawer"},
        "content_shifted": {"expert": "drawer"},
    }
    config = CurateConfig.model_validate({**told, **settings})
    pictures = {picture.key: picture for picture in folder_pictures(config.source.path)}
    steps = build_steps(config, pictures)
    pipeline = pipeline_of(config, [step.plan for step in steps])
    rows = list(rows_of(pictures.values(), config, ["a cat"]))
    write_run(run, config, pipeline, rows)
    DRAWING.append(draw)
    run_local(pipeline, steps, rows, Ledger(run))
    return list(candidates(read_run(run)[1], Ledger(run)))
