"""Train the judges on renders of their own.

The style judge learns to classify. The identity judge learns to match a styled picture with the photo of the same
individual, among many individuals of a few classes (InfoNCE). It also learns to name the individual's traits. It has to
tell apart individuals that it has never seen, so it is trained on many, each mirrored and shifted at random.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from ...trainer.engine.loop import run_to_ema
from ...trainer.engine.loss import LossTerm
from ...trainer.engine.randomness import StepRandom, seeded
from ...trainer.settings.base import Settings
from ...trainer.settings.loop import LoopConfig
from ...uso_model.judging.roc import area
from ..world import (
    IMPROVISED,
    STYLES,
    render_photo,
    render_style,
    sample_scene,
    sample_style,
)
from .networks import PHOTO, TRAITS, IdentityJudge, StyleJudge, save_judge, traits_of

__all__ = ["JudgeRun", "accuracy", "train_judges"]

logger = logging.getLogger(__name__)

BEYOND_SHARE = 0.2
"""Share of renders with parameters from beyond the training ranges."""

PHOTO_SHARE = 1 / (len(STYLES) + 1)
CLASSES_A_BATCH = 4

SHIFT = 12
"""Largest shift of an individual's picture in training, in pixels."""


class JudgeRun(Settings):
    """Settings of the judges' training."""

    out: Path = Field(description="folder of the judges' files")
    pictures: int = Field(6000, gt=0, description="renders that the style judge learns from")
    individuals: int = Field(6000, gt=0, description="those that the identity judge learns from, two renders each")
    seed: int = Field(90_001, description="of the renders; no other part of the miniature uses it")
    style: LoopConfig
    identity: LoopConfig


class Styled(NamedTuple):
    """Pictures `n 3 h w` uint8 and the number of each one's style."""

    pixels: Tensor
    styles: Tensor


class Individuals(NamedTuple):
    """A photo and a styled picture of each individual, in two poses, and its traits.

    Pictures are `n 3 h w`: uint8 as they are rendered, float in -1..1 in a batch.
    """

    photos: Tensor
    styled: Tensor
    traits: Tensor


def train_judges(config: JudgeRun) -> dict[str, float]:
    """Train both judges, write them, and return their accuracy on fresh renders."""
    rng = np.random.default_rng(config.seed)
    styled = render_styled(rng, config.pictures)
    with seeded(config.style.seed):
        style = StyleJudge()
    run_to_ema(
        config.style,
        style,
        [LossTerm("style", lambda batch, random: _style_loss(style, batch))],
        lambda random: _pick(styled, random),
    )
    save_judge(style, config.out)
    people = render_individuals(config.seed, range(config.individuals))
    with seeded(config.identity.seed):
        identity = _IdentityObjective()
    run_to_ema(
        config.identity,
        identity,
        [LossTerm("identity", lambda batch, random: identity(batch))],
        lambda random: _group(people, random),
    )
    save_judge(identity.judge, config.out)
    return accuracy(style.eval(), identity.judge.eval(), rng)


def render_styled(rng: np.random.Generator, count: int) -> Styled:
    """Render pictures in all styles and in none."""
    pixels, styles = [], []
    for _ in range(count):
        scene = sample_scene(rng)
        style = PHOTO if rng.uniform() < PHOTO_SHARE else int(rng.integers(len(STYLES)))
        beyond = rng.uniform() < BEYOND_SHARE
        pixels.append(
            render_photo(scene) if style == PHOTO else render_style(scene, sample_style(rng, STYLES[style], beyond))
        )
        styles.append(style)
    return Styled(_stacked(pixels), torch.tensor(styles))


def render_individuals(seed: int, numbers: Iterable[int]) -> Individuals:
    """Render individuals of all classes, each twice; one styled picture in four is in a style without a name.

    Args:
        seed: of all of them.
        numbers: which of them; each number is the same individual in every call.
    """
    photos, styled, traits = [], [], []
    for number in numbers:
        rng = np.random.default_rng([seed, number])
        scene = sample_scene(rng)
        photos.append(render_photo(scene))
        style = sample_style(rng, IMPROVISED if rng.uniform() < 0.25 else None, rng.uniform() < BEYOND_SHARE)
        styled.append(render_style(scene.repose(rng), style))
        traits.append(traits_of(scene.individual))
    return Individuals(_stacked(photos), _stacked(styled), torch.tensor(traits))


@torch.no_grad()
def accuracy(
    style: StyleJudge, identity: IdentityJudge, rng: np.random.Generator, count: int = 400
) -> dict[str, float]:
    """Return the accuracy of the style judge and the area under the ROC curve of the identity judge, on fresh renders.

    The area is the probability that a styled picture scores higher with a photo of its own individual than with a photo
    of another individual of the same class. It is an upper bound for the pictures that USO-mini draws.
    """
    renders = render_styled(rng, count)
    named = torch.cat([style(_float(part)).argmax(1) for part in renders.pixels.split(64)])
    right, wrong = [], []
    for _ in range(count):
        scene = sample_scene(rng)
        other = sample_scene(rng, scene.subject)
        picture = render_style(scene.repose(rng), sample_style(rng))
        a, b, c = identity(_float(_stacked([picture, render_photo(scene), render_photo(other)])))[0]
        right.append(float(a @ b))
        wrong.append(float(a @ c))
    return {
        "style": (named == renders.styles).float().mean().item(),
        "identity": area(torch.tensor(right), torch.tensor(wrong)),
    }


class _IdentityObjective(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.judge = IdentityJudge()
        self.log_scale = nn.Parameter(torch.tensor(8.0).log())

    def forward(self, batch: Individuals) -> dict[str, Tensor]:
        vectors, parts = self.judge(torch.cat([batch.photos, batch.styled]))
        photo, styled = vectors.chunk(2)
        logits = self.log_scale.exp() * styled @ photo.T
        right = torch.arange(len(photo))
        found = (F.cross_entropy(logits, right) + F.cross_entropy(logits.T, right)) / 2
        columns = batch.traits.repeat(2, 1).unbind(1)
        named = sum(F.cross_entropy(part, column) for part, column in zip(parts, columns, strict=True))
        share = (logits.argmax(1) == right).float().mean()
        return {"loss": found + 0.5 * named, "found": share, "traits": named / len(TRAITS)}


def _style_loss(judge: StyleJudge, batch: Styled) -> dict[str, Tensor]:
    logits = judge(_float(batch.pixels))
    return {"loss": F.cross_entropy(logits, batch.styles), "named": (logits.argmax(1) == batch.styles).float().mean()}


def _pick(data: Styled, random: StepRandom) -> Styled:
    index = torch.randint(len(data.styles), (random.rows,), generator=random.shared("batch"))
    return Styled(data.pixels[index], data.styles[index])


def _group(data: Individuals, random: StepRandom) -> Individuals:
    """Return individuals of a few classes, so that wrong answers have the right class."""
    generator = random.shared("batch")
    classes = torch.randperm(TRAITS[0], generator=generator)[:CLASSES_A_BATCH]
    members = [(data.traits[:, 0] == number).nonzero()[:, 0] for number in classes]
    share = random.rows // CLASSES_A_BATCH
    index = torch.cat([rows[torch.randperm(len(rows), generator=generator)[:share]] for rows in members])
    photos, styled = (_moved(_float(column[index]), generator) for column in (data.photos, data.styled))
    return Individuals(photos, styled, data.traits[index])


def _moved(pixels: Tensor, generator: torch.Generator) -> Tensor:
    """Return pictures `b 3 h w` mirrored and shifted at random, which keeps the individual."""
    mirrored = torch.rand(len(pixels), 1, 1, 1, generator=generator) < 0.5
    padded = F.pad(torch.where(mirrored, pixels.flip(3), pixels), [SHIFT] * 4, mode="reflect")
    corners = torch.randint(2 * SHIFT + 1, (len(pixels), 2), generator=generator).tolist()
    height, width = pixels.shape[2:]
    return torch.stack(
        [picture[:, y : y + height, x : x + width] for picture, (y, x) in zip(padded, corners, strict=True)]
    )


def _stacked(pixels: list[np.ndarray]) -> Tensor:
    return torch.from_numpy(np.stack(pixels)).movedim(-1, 1).contiguous()


def _float(pixels: Tensor) -> Tensor:
    return pixels.float() / 127.5 - 1
