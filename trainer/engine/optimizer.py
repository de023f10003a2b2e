"""The optimizer of the trained parameters, and the learning rate of a step."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from ...uso_model.errors import UserError
from ..reading.errors import shortened
from ..settings.loop import LoopConfig
from .ema import averages
from .optimizer_class import NAMED, accepted_arguments, constructed, optimizer_class

__all__ = ["learning_rate", "make_optimizer", "require_usable"]


def learning_rate(config: LoopConfig, step: int) -> float:
    """Return the learning rate of a step: linear warm-up, then the schedule, which ends at `min_learning_rate`.

    The formulas are those of huggingface/transformers, src/transformers/optimization.py, and of diffusers.
    """
    if step < config.warmup:
        return config.learning_rate * (step + 1) / config.warmup
    progress = (step - config.warmup) / max(1, config.steps - config.warmup)
    least = config.min_learning_rate
    return least + (config.learning_rate - least) * _remaining(config, progress)


def _remaining(config: LoopConfig, progress: float) -> float:
    """Return the share of the way down that is left, 1 to 0, at a `progress` of 0 to 1; beyond it stays at its end."""
    if config.schedule in ("constant", "constant_with_warmup"):
        return 1.0
    if config.schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * progress))
    progress = min(progress, 1.0)
    if config.schedule == "cosine_with_restarts":
        return 0.0 if progress == 1 else 0.5 * (1 + math.cos(math.pi * (config.cycles * progress % 1.0)))
    return (1 - progress) ** (config.power if config.schedule == "polynomial" else 1)


def make_optimizer(config: LoopConfig, trained: Mapping[str, nn.Parameter]) -> torch.optim.Optimizer:
    """Return the optimizer; matrices decay, vectors (biases, norms) do not.

    Raises:
        UserError: nothing is trained, the optimizer's package is not installed, or it does not take its settings.
    """
    if not trained:
        raise UserError("no parameter is trained; check the stage and its settings")
    kind = optimizer_class(config.optimizer)
    decays = "weight_decay" in accepted_arguments(kind)
    groups: list[dict[str, Any]] = [
        {"params": [p for p in trained.values() if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in trained.values() if p.ndim <= 1], "weight_decay": 0.0},
    ]
    groups = [group if decays else {"params": group["params"]} for group in groups if group["params"]]
    _require_effect(config, kind.__name__, decays)
    settings: dict[str, Any] = {"lr": config.learning_rate}
    if config.optimizer in NAMED:
        settings["betas"] = config.betas
    if config.optimizer == "prodigy":
        settings["safeguard_warmup"] = True  # Prodigy finds the rate itself; what is given is a factor on it
    if config.optimizer == "adamw":
        # One pass over the parameters instead of a dozen: a fifth of a small network's step on the CPU.
        settings["fused"] = all(p.device.type in ("cpu", "cuda") for p in trained.values())
    optimizer = constructed(kind, groups, settings, config.optimizer_args)
    if hasattr(optimizer, "train"):  # schedule-free ones have two sets of weights: for gradients, and to be used
        optimizer.train()
    return optimizer


def require_usable(config: LoopConfig, device: torch.device, step: bool = True) -> None:
    """Make the optimizer for a parameter of its own, take a step, and read its state back as a resumed run will.

    Args:
        config: names it.
        device: of the parameter.
        step: False: make it only.

    Raises:
        UserError: it cannot be made, cannot take the step, or keeps what no checkpoint can hold.
    """
    probe = nn.Parameter(torch.zeros(2, 2, device=device))
    optimizer = make_optimizer(config, {"probe": probe})
    averages(config, {"probe": probe}, optimizer)
    if not step:
        return
    probe.grad = torch.ones_like(probe)
    held = io.BytesIO()
    try:
        optimizer.step()
        torch.save(optimizer.state_dict(), held)
        held.seek(0)
        torch.load(held, weights_only=True)
    except Exception as error:  # whatever an optimizer of another package raises
        raise UserError(
            f"loop.optimizer {config.optimizer} cannot be used on {device.type}: a step, or reading its state back, "
            f"fails ({shortened(error)}); take another one"
        ) from error


def _require_effect(config: LoopConfig, kind: str, decays: bool) -> None:
    """Refuse settings that an optimizer would not see.

    Raises:
        UserError: there is one.
    """
    usual = LoopConfig.model_fields
    if not decays and config.weight_decay not in (0, usual["weight_decay"].default):
        raise UserError(f"got loop.weight_decay {config.weight_decay}, but {kind} has none; leave it out")
    if config.optimizer not in NAMED and config.betas != usual["betas"].default:
        raise UserError(
            f"got loop.betas {list(config.betas)}, which are for {', '.join(NAMED)}; give {kind} its own in "
            "loop.optimizer_args"
        )
