"""The stages of USO's training: text-to-image base, style alignment, triplets, each with or without the style reward.

| stage     | sequence               | trained                                                     |
|-----------|------------------------|-------------------------------------------------------------|
| `base`    | `[txt, x_t]`           | the whole transformer (only small models need it)           |
| `style`   | `[style, txt, x_t]`    | the projector (arXiv 2508.18966, stage 1)                    |
| `triplet` | `[style, txt, x_t, c]` | DiT LoRA; projector frozen (arXiv v1) or trained (CVPR)      |
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext

from accelerate import Accelerator
from torch import Tensor

from ..uso_model.untrusted import argument
from .data.cache import Cache
from .data.dataset import TripletDataset
from .data.manifest import Row
from .data.sources import held_out_rows, training_rows
from .encoders import Encoders
from .encoders.judges import rewarding
from .encoders.open import open_encoders
from .engine.checkpoint import Checkpoint, latest
from .engine.distributed import agree, wait_for_all
from .engine.events import EVENTS
from .engine.launch import launch
from .engine.lock import locked
from .engine.loop import run
from .engine.loss import LossTerm
from .engine.optimizer import require_usable
from .engine.shard import shard
from .engine.signals import Interruptible, StopSignals
from .engine.telling import telling
from .export.run import advice, complete, export
from .memory.plan import memory_text
from .monitor.monitors import monitors
from .monitor.places import places_text
from .monitor.stopping import StopAsked
from .networks import Networks, build_networks
from .objective.prior_preservation import PriorPreservationObjective, prior_preservation_weight
from .objective.reward import RewardObjective, reward_weight
from .objective.step import flow_matching_term
from .preflight import require_ready
from .recipe import TrainConfig
from .run_events import planned, steps_done, tell_end, told
from .run_folder import require_same_data, require_same_references, require_unchanged, write_run

__all__ = ["encode", "held_out_data", "train", "training_data"]

logger = logging.getLogger(__name__)


def train(config: TrainConfig, encoders: Encoders | None = None, allow_change: bool = False) -> int:
    """Run one stage, or go on with it, and write what it trained to its `out` at every checkpoint.

    Args:
        config: the stage.
        encoders: frozen encoders; None opens those that the settings name.
        allow_change: go on with other settings or data than the run began with.

    Returns:
        Finished optimiser steps: fewer than asked for when the run was stopped.

    Raises:
        UserError: settings, rows or files that do not fit, with what to do.
        FloatingPointError: a loss or gradient was not finite; see `loop.run`.
    """
    with told(config):
        accelerator = launch(config.loop)
        # 1. What can be known before anything is encoded, or the run's folder made.
        with Interruptible(), telling("looking at what the recipe names"):
            require_ready(config, encoders is None, accelerator.is_main_process)
            require_usable(config.loop, accelerator.device)
        with locked(config.loop.run_dir) if accelerator.is_main_process else nullcontext():
            done, steps = _train(config, encoders, allow_change, accelerator)
        tell_end(config, done, steps)  # here, because whoever reads it may begin the next run in this folder
    return done


def _train(
    config: TrainConfig, encoders: Encoders | None, allow_change: bool, accelerator: Accelerator
) -> tuple[int, int | None]:
    """Do what `train` says; return the finished steps and all of them, None where their number was not yet known."""
    if accelerator.is_main_process:
        logger.info("%s\n%s", config.loop.run_dir.name, places_text(config))
    if allow_change:
        require_same_references(config)
    else:
        require_unchanged(config)
    # 2. Rows and their encodings; every process encodes what the others have not.
    encoders = encoders or open_encoders(config, accelerator.device)
    with Interruptible(), telling("reading the rows and the hashes of their pictures"):
        data, held_out = training_data(config, encoders), held_out_data(config, encoders)
        fingerprint = data.fingerprint()
    if not allow_change:
        require_same_data(config, fingerprint)
    if (finished := _finished(config, data, accelerator)) is not None:
        return finished
    requests, begin = StopSignals(config.loop.run_dir), accelerator.process_index / accelerator.num_processes
    whole = all(encode(rows, begin, requests.stop) for rows in (data, held_out) if rows is not None)
    wait_for_all("it encodes pictures and prompts")
    encoders.release()
    if any(agree([not whole], accelerator.device)):
        if accelerator.is_main_process:
            requests.answered()
            logger.info("stopped while encoding; what is encoded stays: start again to go on")
        return steps_done(config), planned(config)
    if config.loop.epochs is not None:
        epochs, config = config.loop.epochs, config.model_copy(update={"loop": config.loop.of_length(data.epoch)})
        logger.info("%g epochs of %d samples are %d steps", epochs, data.epoch, config.loop.steps)
    # 3. Networks.
    if accelerator.is_main_process:
        logger.info("memory:\n%s", memory_text(config, "cuda" if accelerator.device.type == "cuda" else "cpu"))
    with Interruptible():
        networks = build_networks(config, accelerator.device)
    shard(accelerator, networks.transformer, config.loop, config.memory.in_ram)
    # 4. Losses.
    terms = _terms(config, networks, encoders, data)
    # 5. The loop. The folder is written last, when all that the recipe names has been found to be there.
    kept = write_run(config, len(data), fingerprint) if accelerator.is_main_process else {}

    def save(found: Checkpoint, weights: Mapping[str, Tensor]) -> None:
        if complete(config, found):  # as after a resume, unless a kill came between a checkpoint and its export
            return
        with telling(f"exporting step {found.step}"):
            report = export(config, found, weights, kept)
        logger.info("step %d of %s\n%s", found.step, config.loop.run_dir.name, report)

    alone = accelerator.num_processes == 1  # others may not have heard, and a sharded network draws with all of them
    done = run(
        config.loop,
        networks.together,
        terms,
        data.batch,
        accelerator=accelerator,
        monitors=monitors(
            config,
            networks,
            encoders,
            data,
            held_out,
            accelerator.is_main_process,
            requests.stop if alone else lambda: False,
        ),
        on_save=save,
        names_of=data.names,
        requests=requests,
    )
    if accelerator.is_main_process:
        if done < config.loop.steps:
            again = f"go on with `uso train {argument(config.loop.run_dir)}`"
            logger.info("stopped after step %d of %d; %s", done, config.loop.steps, again)
        else:
            logger.info("%s", advice(config, done))
    return done, config.loop.steps


def _finished(config: TrainConfig, data: TripletDataset, accelerator: Accelerator) -> tuple[int, int] | None:
    """Return finished and planned steps of a run with nothing left to do, before its networks are read for nothing."""
    steps = config.loop.steps if config.loop.epochs is None else config.loop.of_length(data.epoch).steps
    found = latest(config.loop.run_dir) if steps_done(config) >= steps else None
    whole = found is not None and found.step >= steps and complete(config, found)
    if any(agree([not whole], accelerator.device)) or found is None:
        return None
    if accelerator.is_main_process:
        logger.info("all %d steps are done and exported\n%s", steps, advice(config, found.step))
    return found.step, steps


def _terms(config: TrainConfig, networks: Networks, encoders: Encoders, data: TripletDataset) -> list[LossTerm]:
    """Return the losses of a stage: the flow-matching loss and, where asked for, reward and prior preservation."""
    triplets = config.stage == "triplet"
    conditions = config.conditions if triplets else config.conditions.model_copy(update={"dropout": 0.0})
    terms = [flow_matching_term(networks, config.flow, conditions)]
    if config.reward is not None:
        judges, empty = rewarding(config, encoders), data.text("")
        reward = RewardObjective(networks, encoders.decode, judges, config.reward, conditions, empty)
        terms.append(LossTerm("reward", reward.losses, reward_weight(config.reward)))
    prior = config.prior_preservation
    if prior is not None:
        prompt = data.text("") if prior.prompt == "empty" else None
        preservation = PriorPreservationObjective(networks, config.flow, prompt)
        terms.append(LossTerm("prior_preservation", preservation.losses, prior_preservation_weight(prior)))
    return terms


def training_data(config: TrainConfig, encoders: Encoders) -> TripletDataset:
    """Return the rows that a stage trains on.

    Raises:
        UserError: a manifest cannot be read, no row fits the stage, or a reward is asked for without its judge.
    """
    return _dataset(config, encoders, training_rows(config.data))


def held_out_data(config: TrainConfig, encoders: Encoders) -> TripletDataset | None:
    """Return the rows of split `validation`, None where no manifest has any."""
    rows = held_out_rows(config.data)
    if not rows or not (config.monitor.samples_every or config.monitor.validation_every):
        return None
    return _dataset(config.model_copy(update={"data": config.data.plain()}), encoders, rows)


def _dataset(config: TrainConfig, encoders: Encoders, rows: Sequence[Row]) -> TripletDataset:
    return TripletDataset(rows, encoders, Cache(config.data.cache, int(config.data.cache_memory * 2**30)), config)


def encode(data: TripletDataset, begin: float = 0.0, stopping: Callable[[], bool] = lambda: False) -> bool:
    """Encode what the cache lacks, saying how far it is now and then.

    Args:
        data: the rows.
        begin: share of the lacking inputs after which to begin. Processes that share a cache begin at different places
            and skip what another has made since, so none of them waits long for the others.
        stopping: says, after each input, whether to leave the others.

    Returns:
        Whether all is encoded.
    """
    with Interruptible(), telling("encoding", every=10.0) as phase:

        def tell(done: int, total: int) -> None:
            phase.now = f"encoded {done} of {total}"
            EVENTS.often("encode", always=done == total, done=done, total=total)
            if done == total:
                logger.info("encoded %d of %d", done, total)
            elif stopping():
                raise StopAsked

        try:
            data.prepare(tell, begin)
        except StopAsked:
            return False
    return True
