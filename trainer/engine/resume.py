"""Going on from a checkpoint: weights, averages and the optimizer's state, under the settings of now."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from ...uso_model.errors import UserError
from ..settings.loop import LoopConfig
from . import checkpoint
from .ema import Averages
from .scaling import LossScaler

__all__ = ["optimizer_state", "resume"]

logger = logging.getLogger(__name__)

_KIND = "optimizer"
"""Entry of the saved state: import path of the optimizer's class."""

_USUAL = {"lr", "betas", "eps", "momentum", "weight_decay"}
"""Settings that an optimizer may take without naming them."""

_PLACEMENT = {"capturable", "differentiable", "foreach", "fused", "params"}
"""Entries of a group that say how a machine computes, not what."""


_SCALER = "scaler"
"""Entry of the saved state: the scale of the loss, where there is one."""


def optimizer_state(optimizer: torch.optim.Optimizer, scaler: LossScaler) -> dict[str, Any]:
    """Return what a checkpoint keeps of an optimizer: its state, which one it is, and the scale of its loss."""
    scale = scaler.state()
    return {**optimizer.state_dict(), _KIND: _kind(optimizer), **({_SCALER: scale} if scale else {})}


def resume(
    config: LoopConfig,
    trained: Mapping[str, nn.Parameter],
    ema: Averages | None,
    optimizer: torch.optim.Optimizer,
    scaler: LossScaler,
) -> checkpoint.Checkpoint | None:
    """Fill parameters, averages and optimizer from the newest whole checkpoint, and return it; None without any.

    Raises:
        UserError: the run has checkpoints, but none that fits or is whole.
        OSError: the disk could not take another checkpoint.
    """
    # Weights, gradients' two moments and averages: what a checkpoint will need, in float32.
    copies = 3 + (ema is not None)
    checkpoint.require_room(config.run_dir, copies * sum(4 * p.numel() for p in trained.values()))
    found = checkpoint.to_go_on_from(config.run_dir)
    if found is None:
        return None
    weights = found.trained()
    if {k: v.shape for k, v in weights.items()} != {k: v.shape for k, v in trained.items()}:
        raise UserError(
            f"{config.run_dir} holds a checkpoint of other parameters ({len(weights)} tensors, not {len(trained)}), "
            "use another run directory"
        )
    with torch.no_grad():
        for name, parameter in trained.items():
            parameter.copy_(weights[name])
    if ema is not None:
        ema.load(found.ema() or weights)
    _restore(optimizer, scaler, found)
    return found


def _restore(optimizer: torch.optim.Optimizer, scaler: LossScaler, found: checkpoint.Checkpoint) -> None:
    """Give an optimizer its saved state, and leave it the settings that it has just been made with.

    The state of another optimizer, or of one with other switches, means nothing to it: it starts anew then.

    Raises:
        UserError: the saved state is damaged.
    """
    saved = found.optimizer()
    scaler.load(saved.pop(_SCALER, {}))
    wanted = [_settings(optimizer, group) for group in optimizer.param_groups]
    before = [_settings(optimizer, group) for group in saved["param_groups"]]
    other = _kind(optimizer) != saved.pop(_KIND, _kind(optimizer))
    if other or not all(_alike(*pair) for pair in zip(wanted, before, strict=False)):
        logger.warning(
            "%s holds the state of another optimizer; the weights go on from step %d, the optimizer begins anew",
            found.folder.name,
            found.step,
        )
        return
    try:
        optimizer.load_state_dict(saved)
    except (ValueError, KeyError) as error:
        raise UserError(
            f"{found.folder} holds the state of another optimizer ({error}); put loop.optimizer back, or use another "
            "run directory"
        ) from error
    for group, settings in zip(optimizer.param_groups, wanted, strict=True):
        group.update(settings)


def _kind(optimizer: torch.optim.Optimizer) -> str:
    return f"{type(optimizer).__module__}.{type(optimizer).__qualname__}"


def _settings(optimizer: torch.optim.Optimizer, group: Mapping[str, Any]) -> dict[str, Any]:
    """Return those entries of a group that the optimizer was given; the others are its state, as Prodigy's `d`."""
    given = (inspect.signature(type(optimizer).__init__).parameters.keys() | _USUAL) - _PLACEMENT
    return {name: value for name, value in group.items() if name in given}


def _alike(wanted: Mapping[str, Any], before: Mapping[str, Any]) -> bool:
    """Whether a state fits settings: they have the same names, and only numbers differ."""

    def is_number(value: Any) -> bool:
        parts = value if isinstance(value, (tuple, list)) else (value,)
        return all(isinstance(part, (int, float)) and not isinstance(part, bool) for part in parts)

    if wanted.keys() != before.keys():
        return False
    return all(wanted[k] == before[k] or (is_number(wanted[k]) and is_number(before[k])) for k in wanted)
