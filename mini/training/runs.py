"""Training of the networks that are not part of USO itself: autoencoder, vision tower, text encoder, descriptor."""

from __future__ import annotations

from pathlib import Path

import torch
from pydantic import Field

from ...trainer.engine.loop import run_to_ema
from ...trainer.engine.loss import LossTerm
from ...trainer.engine.randomness import seeded
from ...trainer.settings.base import Settings
from ...trainer.settings.loop import LoopConfig
from ...uso_model.errors import UserError
from ..model import (
    MiniAutoencoder,
    MiniDescriptor,
    MiniTextEncoder,
    MiniTokenizer,
    load_autoencoder,
    load_descriptor,
    load_text,
    load_vision,
    save_autoencoder,
    save_descriptor,
    save_encoders,
)
from ..model.networks import MiniVision
from ..model.sizes import fresh_vision
from ..world import VOCABULARY
from .autoencoder import AutoencoderObjective
from .contrastive import ContrastiveObjective, VisionObjective
from .descriptor import DescriptorObjective
from .pictures import Pictures, load_pictures, load_triplets

__all__ = [
    "AutoencoderRun",
    "EncoderRun",
    "train_autoencoder",
    "train_decoder",
    "train_descriptor",
    "train_encoders",
    "train_vision",
]


class AutoencoderRun(Settings):
    """Settings of the autoencoder's training."""

    data: list[Path] = Field(min_length=1, description="folders written by `uso mini world`")
    out: Path = Field(description="folder of the miniature's files")
    crop: int = Field(64, gt=0, description="side of the training crops in pixels")
    latent_noise: float = Field(0.2, ge=0, description="largest deviation of the noise on the latents")
    texture_weight: float = Field(0.0, ge=0, description="decoder: weight of the descriptor's statistics; 0: without")
    token_weight: float = Field(
        0.0, ge=0, description="decoder: weight of the vision tower's tokens, for crops of the tower's size; 0: without"
    )
    loop: LoopConfig


def train_autoencoder(config: AutoencoderRun) -> None:
    """Fit the block transform, train the networks around it and write the autoencoder to the folder."""
    pictures = load_pictures(config.data)
    with seeded(config.loop.seed):
        network = MiniAutoencoder()
    network.fit(pictures.pick(torch.Generator().manual_seed(config.loop.seed), 1024)[0])
    network.analysis.requires_grad_(False)  # keeps the latents where the closed form has put them
    _train_autoencoder(config, network, pictures)


def train_decoder(config: AutoencoderRun) -> None:
    """Continue to train the decoder of the folder's autoencoder, with more noise on the latents, and write it back.

    A small flow model leaves noise in its latents; a decoder that was trained with as much noise removes it. With a
    texture weight the loss also uses the folder's style descriptor, with a token weight its vision tower.

    Raises:
        UserError: the crops are not of the size that the vision tower reads.
    """
    network = load_autoencoder(config.out).train()
    for part in (network.analysis, network.encoder):
        part.requires_grad_(False)
    descriptor = load_descriptor(config.out) if config.texture_weight else None
    vision = load_vision(config.out) if config.token_weight else None
    if vision is not None and config.crop != vision.picture_size:
        raise UserError(
            f"crop: {config.crop} pixels, but the vision tower reads pictures of {vision.picture_size};"
            f" set crop to {vision.picture_size}, or token_weight to 0"
        )
    _train_autoencoder(config, network, load_pictures(config.data), descriptor, vision)


def _train_autoencoder(
    config: AutoencoderRun,
    network: MiniAutoencoder,
    pictures: Pictures,
    descriptor: MiniDescriptor | None = None,
    vision: MiniVision | None = None,
) -> None:
    objective = AutoencoderObjective(
        network,
        config.latent_noise,
        descriptor=descriptor,
        texture_weight=config.texture_weight,
        vision=vision,
        token_weight=config.token_weight,
    )
    term = LossTerm("autoencoder", lambda batch, random: objective(batch, random.shared("noise")))
    run_to_ema(
        config.loop, objective, [term], lambda random: pictures.crops(random.shared("batch"), random.rows, config.crop)
    )
    save_autoencoder(network, config.out)


class EncoderRun(Settings):
    """Settings of the training of vision and text encoder, of the vision tower alone, or of the style descriptor."""

    data: list[Path] = Field(min_length=1, description="folders written by `uso mini world`")
    out: Path = Field(description="folder of the miniature's files")
    loop: LoopConfig


def train_encoders(config: EncoderRun) -> None:
    """Train vision tower and text encoder against each other and write them to the folder."""
    pictures = load_pictures(config.data)
    tokenizer = MiniTokenizer(VOCABULARY)
    with seeded(config.loop.seed):
        vision, text = fresh_vision(), MiniTextEncoder(len(tokenizer))
        objective = ContrastiveObjective(vision, text, tokenizer)
    term = LossTerm("contrastive", lambda batch, random: objective(batch))
    run_to_ema(config.loop, objective, [term], lambda random: pictures.pick(random.shared("batch"), random.rows))
    save_encoders(vision, tokenizer, text, config.out)


def train_vision(config: EncoderRun) -> None:
    """Continue to train the folder's vision tower, with its text encoder frozen, and with its style descriptor.

    Every batch has as many triplets as captioned pictures. The text encoder stays frozen because the base was trained
    with it: a better tower does not need a new base. Source of the idea: Zhai et al., "LiT: Zero-Shot Transfer with
    Locked-image text Tuning", with the roles exchanged.
    """
    with seeded(config.loop.seed):  # networks draw weights before they are read, too
        tokenizer, text = load_text(config.out)
        vision = load_vision(config.out).train()
        pictures, triplets = load_pictures(config.data), load_triplets(config.data)
        sample, _ = pictures.pick(torch.Generator().manual_seed(config.loop.seed), 256)
        captions = ContrastiveObjective(vision, text.requires_grad_(False), tokenizer)
        objective = VisionObjective(captions, load_descriptor(config.out), sample)
    run_to_ema(
        config.loop,
        objective,
        [LossTerm("vision", lambda batch, random: objective(batch))],
        lambda random: tuple(of.pick(random.shared("batch"), random.rows) for of in (pictures, triplets)),
    )
    save_encoders(vision, tokenizer, text, config.out)


def train_descriptor(config: EncoderRun) -> None:
    """Train the style descriptor on the triplets and write it to the folder."""
    triplets = load_triplets(config.data)
    with seeded(config.loop.seed):
        objective = DescriptorObjective(MiniDescriptor())
    term = LossTerm("descriptor", lambda batch, random: objective(batch))
    run_to_ema(config.loop, objective, [term], lambda random: triplets.pick(random.shared("batch"), random.rows))
    save_descriptor(objective.descriptor, config.out)
