"""The training loop: batch, losses, step, EMA, log, monitors, checkpoint. It knows no network and no data.

A run is reproducible from its seed alone: what is random about a step is a function of (seed, step, row), so a resumed
run, or one on another number of processes, sees exactly what an uninterrupted one would have seen.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from ...uso_model.untrusted import argument
from ..settings.loop import LoopConfig
from . import checkpoint
from .byproduct import byproduct
from .crash import Observed, report_crash
from .cut_back import cut_back
from .distributed import agree, broadcast, gather, sum_gradients, wait_for_all
from .ema import averages
from .events import EVENTS
from .launch import autocast, launch
from .lock import locked
from .log import RunLog
from .loss import LossTerm, Monitor
from .optimizer import learning_rate, make_optimizer
from .prefetch import prefetched
from .prune import prune
from .randomness import StepRandom
from .resume import optimizer_state, resume
from .row_losses import RowLosses
from .scaling import LossScaler
from .shares import shares
from .signals import StopSignals
from .telling import telling

__all__ = ["run", "run_to_ema"]

logger = logging.getLogger(__name__)


def run(
    config: LoopConfig,
    network: nn.Module,
    terms: Sequence[LossTerm],
    batch_of: Callable[[StepRandom], Any],
    *,
    accelerator: Accelerator | None = None,
    monitors: Sequence[Monitor] = (),
    on_save: Callable[[checkpoint.Checkpoint, Mapping[str, Tensor]], None] | None = None,
    names_of: Callable[[StepRandom], list[str]] | None = None,
    requests: StopSignals | None = None,
) -> int:
    """Lower the sum of `terms` step by step and leave the trained parameters in the network and in the run's folder.

    Args:
        config: the optimisation.
        network: those of its parameters that require a gradient are trained and saved.
        terms: summands of the loss.
        batch_of: returns the rows `first .. first + rows` of a step's batch.
        accelerator: devices and processes; None makes one.
        monitors: measurements now and then, on the averaged weights where the run keeps them.
        on_save: called on the main process after each checkpoint, and with the one that a run goes on from, whose
            files a kill may have prevented; with the weights to be used, averaged ones where the run keeps them.
        names_of: ids of the rows of a micro-batch, for the report of a crash.
        requests: to stop and to save; None watches for those of the run's folder.

    Returns:
        Finished steps: fewer than asked for when the run was stopped.

    Raises:
        FloatingPointError: a loss or a gradient is not finite; the step is not taken, the last checkpoint stands, and a
            report lies in the run's folder.
        UserError: the run's folder holds checkpoints of which none is whole or fits, another process trains there, or
            the batch does not divide.
        OSError: the folder cannot be written to, or the disk is full.
    """
    accelerator = accelerator or launch(config)
    with locked(config.run_dir) if accelerator.is_main_process else nullcontext():
        return _run(config, network, terms, batch_of, accelerator, monitors, on_save, names_of, requests)


def _run(
    config: LoopConfig,
    network: nn.Module,
    terms: Sequence[LossTerm],
    batch_of: Callable[[StepRandom], Any],
    accelerator: Accelerator,
    monitors: Sequence[Monitor],
    on_save: Callable[[checkpoint.Checkpoint, Mapping[str, Tensor]], None] | None,
    names_of: Callable[[StepRandom], list[str]] | None,
    requests: StopSignals | None,
) -> int:
    """Do what `run` says."""
    trained = {name: p for name, p in network.named_parameters() if p.requires_grad}
    optimizer = make_optimizer(config, trained)
    ema, scaler = averages(config, trained, optimizer), LossScaler(accelerator.device, config.precision == "fp16")
    with telling("looking for a checkpoint"):
        resumed = resume(config, trained, ema, optimizer, scaler)
    start = 0 if resumed is None else resumed.step
    broadcast(trained.values())
    own = shares(config, accelerator.num_processes, accelerator.process_index)
    count = sum(p.numel() for p in trained.values())
    if accelerator.is_main_process:
        logger.info("%s: step %d of %d, %d values trained", config.run_dir.name, start, config.steps, count)
        with byproduct("cutting back the log", "Its lines after that step stand twice."):
            cut_back(config.run_dir, start)

    def run_monitors(done: int, stop: bool = False) -> None:
        due = [m for m in monitors if m.every and done % m.every == 0 and not stop]
        with ema.applied() if ema is not None and due else nullcontext():
            for monitor in due:
                with byproduct(f"{monitor.name} at step {done}", "The next one is tried again."):
                    with autocast(config, accelerator):
                        measured = monitor.measure(done)
                    log.write(done, measured)
                    values = {name: value for name, value in measured.items() if isinstance(value, float)}
                    if values:
                        EVENTS.emit("measure", step=done, monitor=monitor.name, values=values)
        if due:
            wait_for_all("it draws samples")

    def hand_over(found: checkpoint.Checkpoint) -> None:
        if on_save is not None:
            averaged = None if ema is None else ema.weights
            later = f"Export it later with `uso export {argument(config.run_dir)} --step {found.step}`."
            with byproduct(f"the export of step {found.step}", later):
                on_save(found, averaged or {name: p.detach() for name, p in trained.items()})

    def save(done: int, wanted: bool) -> None:
        rows.write()
        if accelerator.is_main_process:
            weights = None if ema is None else ema.weights
            with telling(f"saving step {done}"):
                state = optimizer_state(optimizer, scaler)
                found = checkpoint.save(config.run_dir, done, trained, weights, state, wanted)
            EVENTS.emit("checkpoint", step=done, path=found.folder.absolute())
            with byproduct("removing older checkpoints", "The next save tries it again."):
                prune(config.run_dir, config.keep, config.keep_every, config.keep_weights, done)
            hand_over(found)
            with byproduct("removing the files STOP and SAVE", "Remove them by hand."):
                signals.answered()
        wait_for_all("it writes a checkpoint")

    rows = RowLosses(config, accelerator.is_main_process)
    done, saved = start, start
    plan = (StepRandom(config.seed, step, *share) for step in range(start, config.steps) for share in own)
    with (
        requests or StopSignals(config.run_dir) as signals,
        RunLog(config, accelerator, start) as log,
        prefetched(batch_of, plan, config.prefetch) as batches,
    ):
        if resumed is None:
            run_monitors(0)
        elif accelerator.is_main_process:
            hand_over(resumed)
        for step in range(start, config.steps):
            log.begin()
            rate = learning_rate(config, step)
            for group in optimizer.param_groups:
                group["lr"] = rate
            micro = [next(batches) for _ in own]
            observed, comparison = _gradients(
                config, accelerator, trained, terms, micro, step, log.due(step + 1), names_of, scaler
            )
            sum_gradients(list(trained.values()))
            scaler.unscale(optimizer)
            norm = float(nn.utils.clip_grad_norm_(trained.values(), config.clip))
            finite = (math.isfinite(norm) or scaler.may_skip()) and all(
                torch.isfinite(part.losses["loss"]) for part in observed
            )
            broken, stop, asked = agree([not finite, signals.stop(), signals.save()], accelerator.device)
            if broken:
                records = [record for own in gather([part.record() for part in observed]) for record in own]
                raise report_crash(config.run_dir, step + 1, records, trained, norm, accelerator.is_main_process)
            scaler.step(optimizer)
            optimizer.zero_grad(set_to_none=True)
            if ema is not None:
                ema.update()

            done = step + 1
            for part in observed:
                log.add({f"{_prefix(part.term, terms)}{k}": v for k, v in part.losses.items() if v.ndim == 0})
            # Apart: what fails on one process must not keep it from what all of them take part in.
            with byproduct(f"the losses of the rows of step {done}", "Training does not need them."):
                rows.add(done, observed)
            if log.due(done):
                rows.write()
            with byproduct(f"the log of step {done}", "Training does not need it."):
                log.step(done, {"norm": norm, "learning_rate": rate, **scaler.numbers(), **comparison})
            run_monitors(done, stop)
            if stop or asked or done % config.save_every == 0 or done == config.steps:
                save(done, stop or asked)
                saved = done
            if stop:
                break
    assert saved == done
    return done


def run_to_ema(
    config: LoopConfig, network: nn.Module, terms: Sequence[LossTerm], batch_of: Callable[[StepRandom], Any]
) -> None:
    """Run as `run` does, then leave the averaged weights in the network where the run keeps them.

    For networks that are written as they are; adapters are exported from the run's folder, which holds both.
    """
    run(config, network, terms, batch_of)
    found = checkpoint.latest(config.run_dir)
    ema = found.ema() if found is not None else None
    if ema is not None:
        network.load_state_dict(ema, strict=False)


def _gradients(
    config: LoopConfig,
    accelerator: Accelerator,
    trained: Mapping[str, nn.Parameter],
    terms: Sequence[LossTerm],
    micro: Sequence[tuple[StepRandom, Any]],
    step: int,
    compare: bool,
    names_of: Callable[[StepRandom], list[str]] | None,
    scaler: LossScaler,
) -> tuple[list[Observed], dict[str, float]]:
    """Add up the gradients of all terms over a process's micro-batches; return the losses and how the terms agree."""
    observed: list[Observed] = []
    active = [(term, term.weight(step)) for term in terms]
    active = [(term, weight) for term, weight in active if weight]
    parts: dict[str, Tensor] = {}
    total: Tensor | None = None
    for term, weight in active:
        for random, batch in micro:
            with autocast(config, accelerator):
                losses = dict(term.losses(batch, random))
            if "loss" not in losses:
                continue
            scaler.scaled(weight * random.rows / config.batch_size * losses["loss"]).backward()
            detached = {name: value.detach() for name, value in losses.items()}
            observed.append(Observed(term.name, names_of(random) if names_of else [], detached))
        if compare and len(active) > 1:
            so_far = _flat_gradient(trained) / scaler.scale
            parts[term.name] = so_far if total is None else so_far - total
            total = so_far
    return observed, _comparison(parts)


def _flat_gradient(trained: Mapping[str, nn.Parameter]) -> Tensor:
    return torch.cat([torch.zeros_like(p).flatten() if p.grad is None else p.grad.flatten() for p in trained.values()])


def _comparison(parts: Mapping[str, Tensor]) -> dict[str, float]:
    """Return the norm of each term's gradient, on this process, and the cosine between the first and each other."""
    found = {f"{name}_norm": float(part.norm()) for name, part in parts.items()}
    first, *others = parts or [""]
    for other in others:
        found[f"cosine_{first}_{other}"] = float(nn.functional.cosine_similarity(parts[first], parts[other], dim=0))
    return found


def _prefix(term: str, terms: Sequence[LossTerm]) -> str:
    """The first term's numbers go by their own names, those of others by the term's name too."""
    return "" if term == terms[0].name else f"{term}_"
