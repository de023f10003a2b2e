"""Train the networks of the miniature that are not part of USO itself: autoencoder, vision and text encoder."""

from __future__ import annotations

from pathlib import Path

import torch
from pydantic import Field

from ...uso_model import mini
from ..config import LoopConfig, Settings
from ..engine.loop import run
from ..engine.term import Term
from .autoencoder import AutoencoderObjective
from .encoders import ContrastiveObjective, make_vision
from .pictures import load_pictures
from .world import VOCABULARY

__all__ = ["AutoencoderRun", "EncoderRun", "train_autoencoder", "train_encoders"]


class AutoencoderRun(Settings):
    """Settings of the autoencoder's training."""

    data: list[Path] = Field(min_length=1, description="folders written by `uso mini world`")
    crop: int = Field(64, gt=0, description="side of the training crops in pixels")
    loop: LoopConfig


def train_autoencoder(config: AutoencoderRun) -> None:
    """Fit the block transform, train the touch-up and write both to the bundled weights."""
    pictures = load_pictures(config.data)
    torch.manual_seed(config.loop.seed)
    network = mini.MiniAutoencoder()
    network.fit(pictures.pick(torch.Generator().manual_seed(config.loop.seed), 1024)[0])
    objective = AutoencoderObjective(network)
    term = Term("autoencoder", lambda batch, random: objective(batch, random.shared("noise")))
    run(config.loop, objective, [term], lambda random: pictures.crops(random.shared("batch"), random.rows, config.crop))
    mini.save_autoencoder(network)


class EncoderRun(Settings):
    """Settings of the vision and text encoder's training."""

    data: list[Path] = Field(min_length=1, description="folders written by `uso mini world`")
    loop: LoopConfig


def train_encoders(config: EncoderRun) -> None:
    """Train vision tower and text encoder against each other and write them to the bundled weights."""
    pictures = load_pictures(config.data)
    torch.manual_seed(config.loop.seed)
    tokenizer = mini.MiniTokenizer(VOCABULARY)
    vision, text = make_vision(), mini.MiniTextEncoder(len(tokenizer))
    objective = ContrastiveObjective(vision, text, tokenizer)
    term = Term("contrastive", lambda batch, random: objective(batch))
    run(config.loop, objective, [term], lambda random: pictures.pick(random.shared("batch"), random.rows))
    mini.save_encoders(vision, tokenizer, text)
