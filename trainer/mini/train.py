"""Train the networks of the miniature that are not part of USO itself: autoencoder, vision and text encoder."""

from __future__ import annotations

from pathlib import Path

import torch
from pydantic import Field
from torch import Tensor

from ...uso_model import mini
from ...uso_model.autoencoder import Autoencoder
from ..config import LoopConfig, Settings
from ..loop import run
from . import autoencoder as ae
from .encoders import ContrastiveObjective, make_vision
from .pictures import load_pictures
from .world import VOCABULARY

__all__ = ["AutoencoderRun", "EncoderRun", "train_autoencoder", "train_encoders"]


class AutoencoderRun(Settings):
    """Settings of the autoencoder's training."""

    data: list[Path] = Field(min_length=1, description="folders written by `uso mini world`")
    crop: int = Field(64, gt=0, description="side of the training crops in pixels")
    whole_share: float = Field(
        0.2, ge=0, le=1, description="share of steps on whole pictures, as many as cost the same"
    )
    loop: LoopConfig


def train_autoencoder(config: AutoencoderRun) -> None:
    """Train the autoencoder and write it, with its measured latent scale, to the bundled weights."""
    pictures = load_pictures(config.data)
    network = Autoencoder(ae.SIZES)

    def batch_of(generator: torch.Generator, count: int) -> Tensor:
        if torch.rand((), generator=generator) < config.whole_share:
            return pictures.pick(generator, max(1, round(count * (config.crop / mini.PICTURE_SIZE) ** 2)))[0]
        return pictures.crops(generator, count, config.crop)

    run(config.loop, ae.AutoencoderObjective(network), batch_of)
    ae.normalise_latents(network.eval(), pictures.pixels[:256].float() / 127.5 - 1)
    mini.save_autoencoder(network)


class EncoderRun(Settings):
    """Settings of the vision and text encoder's training."""

    data: list[Path] = Field(min_length=1, description="folders written by `uso mini world`")
    loop: LoopConfig


def train_encoders(config: EncoderRun) -> None:
    """Train vision tower and text encoder against each other and write them to the bundled weights."""
    pictures = load_pictures(config.data)
    tokenizer = mini.MiniTokenizer(VOCABULARY)
    vision, text = make_vision(), mini.MiniTextEncoder(len(tokenizer))
    run(config.loop, ContrastiveObjective(vision, text, tokenizer), pictures.pick)
    mini.save_encoders(vision, tokenizer, text)
