"""The accelerator of a run: device, autocast, processes and loggers, as `accelerate launch` set them up."""

from __future__ import annotations

import datetime
import importlib.util

import torch
from accelerate import Accelerator, InitProcessGroupKwargs

from ...uso_model.errors import UserError
from ..settings.loop import LoopConfig

__all__ = ["autocast", "launch"]


def launch(config: LoopConfig) -> Accelerator:
    """Return the accelerator; one process on the best device unless `accelerate launch` says otherwise.

    Raises:
        UserError: a logger's package is not installed.
    """
    absent = [name for name in config.loggers if importlib.util.find_spec(name) is None]
    if absent:
        raise UserError(f"the logger {absent[0]} is not installed: pip install {absent[0]}, or set loop.loggers=[]")
    return Accelerator(
        mixed_precision="no",  # a setting of the whole process there; `autocast` does it for one run
        log_with=list(config.loggers) or None,
        project_dir=config.run_dir,
        kwargs_handlers=[InitProcessGroupKwargs(timeout=datetime.timedelta(minutes=config.process_timeout))],
    )


def autocast(config: LoopConfig, accelerator: Accelerator) -> torch.autocast:
    """Return a context in which forward passes compute in the precision of the settings."""
    return torch.autocast(accelerator.device.type, torch.bfloat16, enabled=config.precision == "bf16")
