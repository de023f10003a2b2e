"""Triplets of the procedural world of which a fifth is spoilt in six known ways, judged as curation judges rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from itertools import count as count_from
from pathlib import Path
from typing import Any

import numpy as np
from comfyui_uso.mini.world import LAYOUTS, Triplet, render_photo, render_style, sample_scene, sample_triplet
from comfyui_uso.trainer.curate.judging.likeness import Likeness
from comfyui_uso.trainer.curate.judging.look import Look
from comfyui_uso.trainer.curate.judging.measures import Measures
from comfyui_uso.trainer.curate.ledger import Entry, Ledger
from comfyui_uso.trainer.curate.pictures import Pictures
from comfyui_uso.trainer.curate.pipeline import Pipeline, Progress
from comfyui_uso.trainer.curate.recipe import REJECT
from comfyui_uso.trainer.curate.run.worker import do
from comfyui_uso.trainer.curate.steps import CONTENT, STYLE, TARGET, Result, Row, Step, StepPlan, Task
from PIL import Image

KINDS = ("wrong style", "wrong subject", "copy", "wrong layout label", "duplicate", "broken")
GOOD = "good"
_SPOILT = 0.2
_JUDGES = ("bundled_style", "bundled_identity")

Drawn = dict[str, Image.Image]


class Given:
    """Gives the picture that is there already."""

    def __init__(self, name: str, needs: tuple[str, ...], drawn: dict[str, Drawn]):
        self.plan, self._drawn = StepPlan(name, needs), drawn

    def __call__(self, task: Task, pictures: Pictures) -> Result:
        return Result({self.plan.name: self._drawn[task.row.id][self.plan.name]})


class Remembered(Ledger):
    """A ledger in memory: nothing here is about disks."""

    def __init__(self, run: Path):
        super().__init__(run)
        self._known: dict[str, Entry] = {}

    def keep(self, entry: Entry) -> None:
        self._known[entry.id] = entry

    def get(self, id_: str) -> Entry | None:
        return self._known.get(id_)


def judged(run: Path, count: int, seed: int, improvised: float = 0.0) -> tuple[Pipeline, list[tuple[str, Progress]]]:
    """Return rows and what is wrong with each, a fifth of them spoilt, as the default steps of curation see them."""
    drawn: dict[str, Drawn] = {}
    kinds: dict[str, str] = {}
    rows = []
    for number, (kind, triplet, pictures) in enumerate(_drawn(count, seed, improvised)):
        key = f"{number:05d}.png"
        row = Row(Row.id_of(key, triplet.layout, 0), key, "", triplet.layout)  # type: ignore[arg-type]
        rows.append(row)
        drawn[row.id], kinds[row.id] = pictures, kind
    judges = [Likeness(f"comfyui_uso.mini.judges.vectors:{name}", None, (STYLE, CONTENT)) for name in _JUDGES]
    givers = [Given(TARGET, (), drawn), *(Given(name, (TARGET,), drawn) for name in (STYLE, CONTENT))]
    steps: list[Step] = [*givers, Look((STYLE, CONTENT)), Measures((STYLE, CONTENT)), *judges]
    by_name: dict[str, Any] = {step.plan.name: step for step in steps}
    pipeline, ledger = Pipeline([step.plan for step in steps], REJECT), Remembered(run)
    found = []
    for row in rows:
        while tasks := (progress := pipeline.progress(row, ledger)).tasks:
            for task in tasks:
                ledger.keep(do(by_name[task.plan.name], task, ledger.pictures))
        found.append((kinds[row.id], progress))
    return pipeline, found


def _drawn(count: int, seed: int, improvised: float) -> Iterator[tuple[str, Triplet, Drawn]]:
    rng = np.random.default_rng(seed)
    before: list[Image.Image] = []
    spoils = count_from()
    for number in range(count):
        triplet = sample_triplet(rng, LAYOUTS[number % 2], improvised=improvised)
        spoilt = bool(before) and rng.uniform() < _SPOILT
        kind = KINDS[next(spoils) % len(KINDS)] if spoilt else GOOD
        target, style, content = map(Image.fromarray, triplet.render())
        pictures = {TARGET: target, STYLE: style, CONTENT: content}
        if kind == "wrong style":
            pictures[STYLE] = Image.fromarray(render_style(triplet.style_ref, _other_style(triplet, rng, improvised)))
        elif kind == "wrong subject":
            other = replace(triplet.content, individual=_other_subject(triplet, rng))
            pictures[CONTENT] = Image.fromarray(render_photo(other))
        elif kind == "copy":
            pictures[(STYLE, CONTENT)[int(rng.integers(2))]] = again(target, rng)
        elif kind == "wrong layout label":
            other = triplet.target.repose(rng) if triplet.layout == "preserved" else triplet.target
            pictures[CONTENT] = Image.fromarray(render_photo(other))
        elif kind == "duplicate":
            pictures[TARGET], pictures[STYLE], pictures[CONTENT] = _repeated(before, rng)
        elif kind == "broken":
            name = (STYLE, CONTENT)[int(rng.integers(2))]
            pictures[name] = _broken(pictures[name], rng)
        if kind == GOOD:
            before += [target, style, content]
        yield kind, triplet, pictures


def _other_style(triplet: Triplet, rng: np.random.Generator, improvised: float) -> Any:
    while True:
        other = sample_triplet(rng, improvised=improvised).style
        if (other.fill.kind, other.palette.kind) != (triplet.style.fill.kind, triplet.style.palette.kind):
            return other


def _other_subject(triplet: Triplet, rng: np.random.Generator) -> Any:
    while (other := sample_scene(rng).individual).subject == triplet.target.subject:
        pass
    return other


def again(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Return a picture as it comes back from elsewhere: resized, a little brighter or darker, and through JPEG."""
    side = int(rng.integers(100, 160))
    shift = int(rng.integers(-8, 9))
    found = picture.resize((side, side), Image.Resampling.BICUBIC).resize(picture.size, Image.Resampling.BICUBIC)
    data = BytesIO()
    found.point(lambda value: min(255, max(0, value + shift))).save(data, "JPEG", quality=80)
    return Image.open(data).convert("RGB")


def _repeated(before: list[Image.Image], rng: np.random.Generator) -> list[Image.Image]:
    """Return the target of a good row before, and its references, as they come back."""
    start = 3 * int(rng.integers(len(before) // 3))
    return [again(picture, rng) for picture in before[start : start + 3]]


def _broken(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Return a black picture, one of one colour, noise, or one of which the lower half was not decoded."""
    kind = int(rng.integers(4))
    if kind == 0:
        return Image.new("RGB", picture.size)
    if kind == 1:
        return Image.new("RGB", picture.size, tuple(int(value) for value in rng.integers(0, 256, 3)))
    pixels = np.array(picture)
    if kind == 2:
        return Image.fromarray(rng.integers(0, 256, pixels.shape, dtype=np.uint8))
    pixels[len(pixels) // 2 :] = 128
    return Image.fromarray(pixels)
