"""Pictures drawn by the run so far: a labelled grid, single files, and how they resemble their references."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from ...uso_model.checkpoints.files import atomic_write
from ...uso_model.errors import UserError
from ...uso_model.images import picture_tensor, tensor_pictures
from ...uso_model.judging.likeness import layout_likeness, style_likeness
from ..data.batch import Sample
from ..data.pictures import fit_target, open_picture
from ..drawing import Manner, draw_latents
from ..encoders import Encoders, PictureJudge
from ..engine.events import EVENTS
from ..engine.loss import Measured, Monitor
from ..engine.telling import telling
from ..networks import Networks
from ..recipe import DESCRIPTOR, label
from ..settings.monitor import MonitorConfig
from .grid import Cell, Strip, sheet
from .stopping import Check, unchecked

__all__ = ["COLUMNS", "FOLDER", "Shown", "samples"]

logger = logging.getLogger(__name__)

FOLDER = "samples"
"""Of the pictures, in the run's folder."""

COLUMNS = ("content", "style", "target", "drawn")


class Shown(NamedTuple):
    """What is drawn again and again. The references that are shown are those that `sample` says it has."""

    sample: Sample
    name: str
    prompt: str
    seed: int
    target: Path | None


def samples(
    networks: Networks,
    encoders: Encoders,
    shown: Sequence[Shown],
    empty: tuple[Tensor, Tensor],
    settings: MonitorConfig,
    folder: Path | None,
    check: Check = unchecked,
) -> Monitor:
    """Return a monitor that draws a picture for each of `shown`, always from the same seed.

    It measures, as means: `sample_style`, the likeness of strokes and shading to the style references that no reward
    sees; `sample_copy`, the likeness of layout to them; for each judge the likeness to what it compares with,
    `sample_descriptor` of the style descriptor and `sample_dino` and so on of others. The grid and the pictures come
    with the numbers, as `samples/grid` and `samples/01-name`.

    Args:
        networks: the run's.
        encoders: for the decoder and the judges; their memory is given back after each grid.
        shown: to draw.
        empty: text of the empty prompt, for guidance without references.
        settings: steps, guidance.
        folder: where `step-0000100.png` is written, a strip of content, style, target and drawing for each, and the
            drawings by themselves in `step-0000100/`; None draws without writing.
        check: is called before each pass of the transformer and before each decoding.
    """
    names = [f"{number:02d}-{_slug(one.name)}".rstrip("-") for number, one in enumerate(shown, start=1)]

    @torch.no_grad()
    def measure(step: int) -> Measured:
        drawn = []
        numbers: dict[str, list[float]] = {}
        try:
            with telling("drawing samples") as phase:
                # Apart: several processes share each pass of a sharded network, and what fails after it is one's own.
                latents = [_draw(networks, one, empty, settings, check) for one in shown]
                for one, latent in zip(shown, latents, strict=True):
                    check()
                    pixels = encoders.decode(latent).float().cpu()
                    for name, value in _likeness(pixels, one.sample, encoders.judges).items():
                        numbers.setdefault(name, []).append(value)
                    drawn.append(tensor_pictures(pixels)[0])
                    phase.now = f"drew {len(drawn)} of {len(shown)} samples"
        finally:
            encoders.release()
        title = f"step {step}" if folder is None else f"{folder.parent.name}, step {step}"
        grid = sheet(title, COLUMNS, [_strip(one, picture, step) for one, picture in zip(shown, drawn, strict=True)])
        pictures = dict(zip(names, drawn, strict=True))
        if folder is not None:
            texts = [f"step {step}, seed {one.seed}: {one.prompt}" for one in shown]
            _write(folder, step, grid, pictures, texts)
        means = {name: sum(values) / len(values) for name, values in numbers.items()}
        return {**means, f"{FOLDER}/grid": grid, **{f"{FOLDER}/{name}": one for name, one in pictures.items()}}

    return Monitor("samples", settings.samples_every, measure)


def _draw(
    networks: Networks,
    shown: Shown,
    empty: tuple[Tensor, Tensor],
    settings: MonitorConfig,
    check: Check,
) -> Tensor:
    """Return the latent of a picture, `1 c h w`."""
    manner = Manner(settings.sample_steps, cfg=settings.cfg)
    return draw_latents(networks, [shown.sample], [shown.seed], manner, lambda: empty, check)


def _likeness(drawn: Tensor, sample: Sample, judges: Mapping[str, PictureJudge]) -> dict[str, float]:
    """Return the means over the references that can be opened."""
    found: dict[str, list[float]] = {}
    seen = drawn.clamp(-1, 1)
    styles = _references(sample.style_paths)
    contents = _references(sample.content_paths) if any(one.against == "content" for one in judges.values()) else []
    for style in styles:
        found.setdefault("sample_style", []).append(style_likeness(seen, style).item())
        found.setdefault("sample_copy", []).append(layout_likeness(seen, style).item())
    for name, judge in judges.items():
        key = "sample_descriptor" if name == DESCRIPTOR else f"sample_{label(name)}"
        for reference in styles if judge.against == "style" else contents:
            both = judge.embed(seen).float().cpu() * judge.embed(reference).float().cpu()
            found.setdefault(key, []).append(float(both.sum()))
    return {name: sum(values) / len(values) for name, values in found.items()}


def _references(paths: Sequence[Path]) -> list[Tensor]:
    """Return the pictures that can be opened."""
    return [picture_tensor(picture) for picture in map(_opened, paths) if picture is not None]


def _strip(shown: Shown, drawn: Image.Image, step: int) -> Strip:
    def as_learnt(picture: Image.Image) -> Image.Image:
        return fit_target(picture, *drawn.size)  # cut as it was for the training

    sample, target = shown.sample, () if shown.target is None else (shown.target,)
    cells = (
        _cell(sample.content_paths, "no content reference"),
        _cell(sample.style_paths, "no style reference"),
        _cell(target, "no target: own prompt", as_learnt),
        Cell([drawn], f"step {step}, seed {shown.seed}, {drawn.width}x{drawn.height}"),
    )
    return Strip(cells, shown.prompt or "(empty prompt)")


def _cell(paths: Sequence[Path], none: str, change: Callable[[Image.Image], Image.Image] | None = None) -> Cell:
    opened = [(path.name, _opened(path)) for path in paths]
    pictures = [change(picture) if change else picture for _, picture in opened if picture is not None]
    names = [name if picture else f"{name} cannot be read" for name, picture in opened]
    return Cell(pictures, ", ".join(names) or none)


def _opened(path: Path) -> Image.Image | None:
    """Return a picture, None where it is gone: its encoding is what was drawn with, and it is kept."""
    try:
        return open_picture(path)
    except (UserError, OSError) as error:
        logger.warning("a reference cannot be shown or compared with: %s", error)
        return None


def _write(folder: Path, step: int, grid: Image.Image, pictures: dict[str, Image.Image], texts: Sequence[str]) -> None:
    name = f"step-{step:07d}"
    try:
        _save(grid, folder / f"{name}.png", f"step {step}")
        paths = {part: folder / name / f"{part}.png" for part in pictures}
        for (part, path), text in zip(paths.items(), texts, strict=True):
            _save(pictures[part], path, text)
        EVENTS.emit(
            "sample",
            step=step,
            path=(folder / f"{name}.png").absolute(),
            pictures=[path.absolute() for path in paths.values()],
            labels=texts,
        )
    except OSError as error:
        logger.warning("the samples of step %d are lost, and the run goes on: %s", step, error)


def _save(picture: Image.Image, path: Path, text: str) -> None:
    told = PngInfo()
    told.add_itxt("Description", text.encode("utf-8", "replace").decode("utf-8"))
    atomic_write(path, lambda temporary: picture.save(temporary, format="PNG", pnginfo=told), durable=False)


def _slug(name: str) -> str:
    """Return a name as part of a file's name that every system takes."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40].strip("-")
