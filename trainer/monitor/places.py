"""Where a run writes what, said at its start."""

from __future__ import annotations

import os
import shlex
import subprocess

from ..recipe import TrainConfig
from .samples import FOLDER

__all__ = ["places_text"]


def places_text(config: TrainConfig) -> str:
    """Return a line for each thing that a run writes, with the command that opens TensorBoard."""
    run_dir, monitor = config.loop.run_dir, config.monitor
    places = {"run folder": str(run_dir), "trained files": str(config.folder)}
    if monitor.samples_every:
        places["pictures"] = f"{run_dir / FOLDER}, every {monitor.samples_every} steps"
    if "tensorboard" in config.loop.loggers:
        command = ["tensorboard", "--logdir", str(run_dir)]
        places["to watch it"] = subprocess.list2cmdline(command) if os.name == "nt" else shlex.join(command)
    width = max(map(len, places))
    return "\n".join(f"  {name:{width}}  {place}" for name, place in places.items())
