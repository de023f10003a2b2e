"""A grid of pictures drawn by the run so far, and how they resemble their references."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from PIL import Image
from torch import Tensor

from ...uso_model.images import picture_tensor, tensor_pictures
from ...uso_model.judging.likeness import layout_likeness, style_likeness
from ...uso_model.packing import PIXELS_PER_LATENT
from ...uso_model.sampling import euler, guided, velocity
from ...uso_model.schedule import official_schedule
from ..data.batch import Sample, stack_by_shape
from ..data.pictures import fit_target, open_picture
from ..encoders import Encoders
from ..engine.loss import Monitor
from ..networks import Networks
from ..objective.conditions import conditioning_of, unconditional
from ..settings.monitor import MonitorConfig

__all__ = ["Shown", "samples"]

GUIDANCE = 4.0
"""Distilled guidance at inference (bytedance/USO, inference.py)."""

_CELL = 256


class Shown(NamedTuple):
    """A row to draw."""

    sample: Sample
    target: Path
    style: Path | None
    content: Path | None


def samples(
    networks: Networks,
    encoders: Encoders,
    rows: Sequence[Shown],
    empty: tuple[Tensor, Tensor],
    settings: MonitorConfig,
    folder: Path | None,
) -> Monitor:
    """Return a monitor that draws a picture for each row, with the row's references, prompt and a fixed seed.

    It logs, as means: `sample_style`, the likeness of texture and colour to the style reference that no reward sees;
    `sample_copy`, the likeness of layout to the style reference; `sample_descriptor`, the reward's own similarity.

    Args:
        networks: the run's.
        encoders: for the decoder and the descriptor; their memory is given back after each grid.
        rows: to draw.
        empty: text of the empty prompt, for guidance without references.
        settings: steps, guidance.
        folder: where `step-0000100.png` is written, a row of content, style, target and drawing for each; None draws
            without writing.
    """

    @torch.no_grad()
    def measure(step: int) -> dict[str, float]:
        numbers: dict[str, list[float]] = {}
        grid = []
        for seed, row in enumerate(rows):
            drawn = _draw(networks, encoders.decode, row.sample, empty, settings, seed)
            for name, value in _likeness(drawn, row, encoders.descriptor).items():
                numbers.setdefault(name, []).append(value)
            grid.append(_cells(row, tensor_pictures(drawn)[0]))
        encoders.release()
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            _sheet(grid).save(folder / f"step-{step:07d}.png")
        return {name: sum(values) / len(values) for name, values in numbers.items()}

    return Monitor("samples", settings.samples_every, measure)


def _draw(
    networks: Networks,
    decode: Callable[[Tensor], Tensor],
    sample: Sample,
    empty: tuple[Tensor, Tensor],
    settings: MonitorConfig,
    seed: int,
) -> Tensor:
    """Return a picture `1 3 h w` on the CPU."""
    device, (transformer, projector) = networks.device, networks
    (batch,) = stack_by_shape([sample])
    noise = torch.randn(batch.latent.shape, generator=torch.Generator().manual_seed(seed)).to(device)
    height, width = (PIXELS_PER_LATENT * side for side in batch.latent.shape[-2:])
    follow = velocity(transformer, conditioning_of(batch, projector, torch.full((1,), GUIDANCE), device))
    if settings.cfg != 1:
        away = velocity(transformer, unconditional(empty, torch.full((1,), GUIDANCE), device))
        follow = guided(follow, away, settings.cfg)
    times = official_schedule(settings.sample_steps, width, height)
    latent = euler(lambda x, t: follow(x, t).float(), noise, times)
    return decode(latent).float().cpu()


def _likeness(drawn: Tensor, row: Shown, descriptor: Callable[[Tensor], Tensor] | None) -> dict[str, float]:
    if row.style is None:
        return {}
    style = picture_tensor(open_picture(row.style))
    seen = drawn.clamp(-1, 1)
    found = {
        "sample_style": style_likeness(seen, style).item(),
        "sample_copy": layout_likeness(seen, style).item(),
    }
    if descriptor is not None:
        found["sample_descriptor"] = float((descriptor(seen).float().cpu() * descriptor(style).float().cpu()).sum())
    return found


def _cells(row: Shown, drawn: Image.Image) -> list[Image.Image]:
    files = (row.content, row.style, row.target)
    blank = Image.new("RGB", (_CELL, _CELL), (255, 255, 255))
    cells = [blank if path is None else fit_target(open_picture(path), _CELL, _CELL) for path in files]
    return [*cells, fit_target(drawn, _CELL, _CELL)]


def _sheet(grid: Sequence[Sequence[Image.Image]]) -> Image.Image:
    sheet = Image.new("RGB", (_CELL * len(grid[0]), _CELL * len(grid)))
    for y, cells in enumerate(grid):
        for x, cell in enumerate(cells):
            sheet.paste(cell, (x * _CELL, y * _CELL))
    return sheet
