"""The training loop: learning rate, step, log, checkpoint, resume. It knows no network and no data.

A run is reproducible from its seed alone: the batch and the noise of step k are drawn from a generator seeded with
(seed, k), so a resumed run sees exactly what an uninterrupted one would have seen.
"""

from __future__ import annotations

import json
import logging
import math
import os
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from .config import LoopConfig

__all__ = ["latest_checkpoint", "learning_rate", "run", "step_generator"]

logger = logging.getLogger(__name__)

WEIGHTS, OPTIMIZER = "trained.safetensors", "optimizer.pt"


def learning_rate(config: LoopConfig, step: int) -> float:
    """Return the learning rate of a step: linear warm-up, then constant or a cosine that ends at zero."""
    if step < config.warmup:
        return config.learning_rate * (step + 1) / config.warmup
    if config.decay == "constant":
        return config.learning_rate
    progress = (step - config.warmup) / max(1, config.steps - config.warmup)
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))


def step_generator(seed: int, step: int) -> torch.Generator:
    """Return the CPU generator from which everything random of a step is drawn."""
    return torch.Generator().manual_seed((seed * 1_000_003 + step) % 2**63)


def run(
    config: LoopConfig,
    objective: nn.Module,
    batch_of: Callable[[torch.Generator, int], Any],
    on_save: Callable[[int], None] | None = None,
) -> None:
    """Minimise `objective` and leave its trained parameters in it and in the run directory.

    Args:
        config: the optimisation.
        objective: module whose `forward(batch, generator)` returns a dict of scalar losses with the key `loss`;
            its parameters that require a gradient are trained and saved.
        batch_of: returns a batch of the given size drawn from a generator.
        on_save: called with the number of finished steps after each checkpoint.

    Raises:
        FloatingPointError: a loss or a gradient is not finite; the step is not taken and the last checkpoint stands.
        ValueError: the run directory holds a checkpoint of other parameters.
    """
    accelerator = Accelerator(mixed_precision=config.precision)
    trained = {name: p for name, p in objective.named_parameters() if p.requires_grad}
    decayed = [p for p in trained.values() if p.ndim > 1]
    plain = [p for p in trained.values() if p.ndim <= 1]
    groups = [
        {"params": decayed, "weight_decay": config.weight_decay},
        {"params": plain, "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(
        [group for group in groups if group["params"]], lr=config.learning_rate, betas=config.betas
    )
    start = _resume(config.run_dir, trained, optimizer)
    model, optimizer = accelerator.prepare(objective, optimizer)
    config.run_dir.mkdir(parents=True, exist_ok=True)
    logger.info("%s: step %d of %d, %d tensors trained", config.run_dir.name, start, config.steps, len(trained))

    started = time.monotonic()
    for step in range(start, config.steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(config, step)
        generator = step_generator(config.seed, step)
        with accelerator.autocast():
            losses: Mapping[str, Tensor] = model(batch_of(generator, config.batch_size), generator)
        accelerator.backward(losses["loss"])
        norm = accelerator.clip_grad_norm_(list(trained.values()), config.clip)
        _require_finite(step, losses["loss"], norm)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

        done = step + 1
        if done % config.log_every == 0 or done == config.steps:
            record = {name: round(value.item(), 6) for name, value in losses.items()}
            record |= {
                "step": done,
                "norm": round(float(norm), 4),
                "seconds": round(time.monotonic() - started, 1),
            }
            _log(config.run_dir, record)
        if done % config.save_every == 0 or done == config.steps:
            _save(config.run_dir, done, trained, optimizer)
            if on_save is not None:
                on_save(done)


def latest_checkpoint(run_dir: Path) -> Path | None:
    """Return the newest complete checkpoint folder of a run, or None."""
    found = sorted(run_dir.glob("checkpoint-*")) if run_dir.is_dir() else []
    return found[-1] if found else None


def _require_finite(step: int, loss: Tensor, norm: Any) -> None:
    if not (math.isfinite(loss.item()) and math.isfinite(float(norm))):
        raise FloatingPointError(
            f"step {step + 1} has loss {loss.item()} and gradient norm {float(norm)}; the step was not taken, lower "
            "the learning rate or look at the rows of this step"
        )


def _log(run_dir: Path, record: Mapping[str, Any]) -> None:
    with (run_dir / "log.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")
    logger.info("%s", " ".join(f"{name} {value}" for name, value in record.items()))


def _save(run_dir: Path, done: int, trained: Mapping[str, Tensor], optimizer: Any) -> None:
    """Write a checkpoint under a temporary name, rename it, then remove the older ones."""
    final, temporary = run_dir / f"checkpoint-{done:07d}", run_dir / f".checkpoint-{done:07d}"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    save_file({name: p.detach().cpu().contiguous() for name, p in trained.items()}, temporary / WEIGHTS)
    torch.save(optimizer.state_dict(), temporary / OPTIMIZER)
    for name in (WEIGHTS, OPTIMIZER):
        with (temporary / name).open("rb") as file:
            os.fsync(file.fileno())
    shutil.rmtree(final, ignore_errors=True)
    temporary.rename(final)
    for old in sorted(run_dir.glob("checkpoint-*"))[:-1]:
        shutil.rmtree(old)


def _resume(run_dir: Path, trained: Mapping[str, Tensor], optimizer: torch.optim.Optimizer) -> int:
    checkpoint = latest_checkpoint(run_dir)
    if checkpoint is None:
        return 0
    weights = load_file(checkpoint / WEIGHTS)
    if {k: v.shape for k, v in weights.items()} != {k: v.shape for k, v in trained.items()}:
        raise ValueError(
            f"{run_dir} holds a checkpoint of other parameters ({len(weights)} tensors, not {len(trained)}), "
            "use another run directory"
        )
    with torch.no_grad():
        for name, parameter in trained.items():
            parameter.copy_(weights[name])
    optimizer.load_state_dict(torch.load(checkpoint / OPTIMIZER, weights_only=True))
    return int(checkpoint.name.rpartition("-")[2])
