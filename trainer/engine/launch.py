"""The accelerator of a run: device, autocast, processes and loggers, as `accelerate launch` set them up."""

from __future__ import annotations

import datetime
import importlib.util

import torch
from accelerate import Accelerator, InitProcessGroupKwargs

from ...uso_model.errors import UserError
from ..settings.loop import LoopConfig

__all__ = ["autocast", "launch", "require_loggers"]


def launch(config: LoopConfig) -> Accelerator:
    """Return the accelerator; one process on the best device unless `accelerate launch` says otherwise.

    Raises:
        UserError: a logger's package is not installed.
    """
    require_loggers(config)
    return Accelerator(
        mixed_precision="no",  # a setting of the whole process there; `autocast` does it for one run
        log_with=list(config.loggers) or None,
        # TensorBoard's files go into a folder of the run's name in there: the run's own.
        project_dir=config.run_dir.absolute().parent,
        kwargs_handlers=[InitProcessGroupKwargs(timeout=datetime.timedelta(minutes=config.process_timeout))],
    )


def require_loggers(config: LoopConfig) -> None:
    """Make sure that the packages of the loggers are there.

    Raises:
        UserError: one is not installed.
    """
    for name in config.loggers:
        found = importlib.util.find_spec(name)
        # A folder of that name where `uso` runs, such as the one wandb writes, passes for a package without an origin.
        if found is None or found.origin is None:
            raise UserError(f"the logger {name} is not installed: pip install {name}, or set loop.loggers=[]")


def autocast(config: LoopConfig, accelerator: Accelerator) -> torch.autocast:
    """Return a context in which forward passes compute in the precision of the settings."""
    dtype = torch.float16 if config.precision == "fp16" else torch.bfloat16
    return torch.autocast(accelerator.device.type, dtype, enabled=config.precision != "no")
