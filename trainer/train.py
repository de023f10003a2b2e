"""The stages of USO's training: text-to-image base, style alignment, triplets, each with or without the style reward.

| stage     | sequence               | trained                                                     |
|-----------|------------------------|-------------------------------------------------------------|
| `base`    | `[txt, x_t]`           | the whole transformer (only the miniature needs it)          |
| `style`   | `[style, txt, x_t]`    | the projector (arXiv 2508.18966, stage 1)                    |
| `triplet` | `[style, txt, x_t, c]` | DiT LoRA; projector frozen (arXiv v1) or trained (CVPR)      |
"""

from __future__ import annotations

import logging

from .data.cache import Cache
from .data.dataset import TripletDataset
from .data.manifest import Row, read_manifest
from .encoders import Encoders
from .encoders.open import open_encoders
from .engine.launch import launch
from .engine.loop import run
from .engine.shard import shard
from .engine.term import Term
from .export import export_run
from .memory.plan import plan
from .monitor import monitors
from .networks import build_networks
from .objective.preserve import PreservationObjective, preserve_weight
from .objective.reward import RewardObjective, reward_weight
from .objective.velocity import VelocityObjective
from .recipe import DataConfig, TrainConfig
from .run_folder import require_unchanged, write_run

__all__ = ["encode", "held_out_data", "train", "training_data"]

logger = logging.getLogger(__name__)

VALIDATION = "validation"
"""Split of the rows that no step sees."""


def train(config: TrainConfig, encoders: Encoders | None = None, allow_change: bool = False) -> int:
    """Run one stage, or go on with it, and write what it trained to `config.out` at every checkpoint.

    Args:
        config: the stage.
        encoders: frozen encoders; None opens those that the settings name.
        allow_change: go on with other settings than the run began with.

    Returns:
        Finished optimiser steps: fewer than asked for when the run was stopped.

    Raises:
        ValueError: settings, rows or files that do not fit, with what to do.
        FloatingPointError: a loss or gradient was not finite; see `loop.run`.
    """
    accelerator = launch(config.loop)
    if not allow_change:
        require_unchanged(config)
    encoders = encoders or open_encoders(config.models, accelerator.device)
    data, held_out = training_data(config, encoders), held_out_data(config, encoders)
    with accelerator.main_process_first():
        for rows in (data, held_out):
            if rows is not None:
                encode(rows)
    encoders.release()

    if accelerator.is_main_process and not config.models.mini:
        logger.info("memory:\n%s", plan(config).text())
    networks = build_networks(config, accelerator.device)
    in_ram = config.memory.stream_blocks > 0 or config.memory.modulation == "offloaded"
    shard(accelerator, networks.transformer, config.loop, in_ram)
    if accelerator.is_main_process:  # not before all that the recipe names has been found to be there
        write_run(config, len(data), data.fingerprint())
    conditions = (
        config.conditions if config.stage == "triplet" else config.conditions.model_copy(update={"dropout": 0.0})
    )
    velocity = VelocityObjective(networks.transformer, networks.projector, config.flow, conditions)
    terms = [Term("flow", velocity.losses)]
    if config.reward is not None:
        assert encoders.look is not None  # `training_data` has asked for it
        reward = RewardObjective(
            networks.transformer,
            networks.projector,
            encoders.decode,
            encoders.look,
            config.reward,
            conditions,
            data.text(""),
        )
        terms.append(Term("reward", reward.losses, reward_weight(config.reward)))
    if config.preserve is not None:
        empty = data.text("") if config.preserve.prompt == "empty" else None
        preservation = PreservationObjective(networks.transformer, config.flow, empty)
        terms.append(Term("preserve", preservation.losses, preserve_weight(config.preserve)))

    def save(step: int) -> None:
        logger.info("%s", export_run(config.loop.run_dir, step))

    done = run(
        config.loop,
        networks.together,
        terms,
        data.batch,
        accelerator=accelerator,
        monitors=monitors(config, networks, velocity, encoders, data, held_out, accelerator.is_main_process),
        on_save=save,
        names_of=data.names,
    )
    if accelerator.is_main_process:
        if done < config.loop.steps:
            again = f"go on with `uso train {config.loop.run_dir}`"
            logger.info("stopped after step %d of %d; %s", done, config.loop.steps, again)
        else:
            logger.info("%s holds what %d steps have trained", config.out, done)
    return done


def training_data(config: TrainConfig, encoders: Encoders) -> TripletDataset:
    """Return the rows that a stage trains on.

    Raises:
        ValueError: a manifest cannot be read, no row fits the stage, or a reward is asked for without a descriptor.
    """
    if config.reward is not None and encoders.look is None:
        raise ValueError("the style reward needs a descriptor: name CSD's file as models.csd, made by `uso csd`")
    rows = [row for path in config.data.manifests for row in read_manifest(path)[: config.data.rows]]
    return _dataset(config, encoders, rows, config.data)


def held_out_data(config: TrainConfig, encoders: Encoders) -> TripletDataset | None:
    """Return the rows of split `validation`, None where no manifest has any."""
    rows = [row for path in config.data.manifests for row in read_manifest(path, split=None)]
    rows = [row for row in rows if row.split == VALIDATION]
    if not rows or not (config.monitor.samples_every or config.monitor.validation_every):
        return None
    plain = config.data.model_copy(update={"text_dropout": 0.0, "pooled_shuffle": 0.0, "preserved_share": None})
    return _dataset(config, encoders, rows, plain)


def _dataset(config: TrainConfig, encoders: Encoders, rows: list[Row], settings: DataConfig) -> TripletDataset:
    return TripletDataset(
        rows,
        encoders,
        Cache(config.data.cache, int(config.data.cache_memory * 2**30)),
        settings,
        config.loop.batch_size,
        config.loop.micro_batch or config.loop.batch_size,
        config.loop.seed,
        style=config.stage != "base",
        content=config.stage == "triplet",
        look=config.reward is not None,
        style_path=config.conditions.style_path,
    )


def encode(data: TripletDataset) -> None:
    """Encode what the cache lacks, saying how far it is now and then."""

    def tell(done: int, total: int) -> None:
        if done == total or done % 100 == 0:
            logger.info("encoded %d of %d", done, total)

    data.prepare(tell)
