"""`uso mini reproduce`: from nothing, or from where it stopped, to a table of measured rows.

World, encoders, judges and base are made once. Then every row is trained and measured for every seed, and its numbers
are appended to `results.jsonl` before the next one starts. Finished work is not repeated.
"""

from __future__ import annotations

import logging
import os
import platform
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from ...trainer.engine.checkpoint import checkpoints, latest
from ...trainer.engine.log import time_spent
from ...trainer.export.run import export_run
from ...trainer.recipe import TrainConfig
from ...trainer.settings.loop import LoopConfig
from ..bench.cases import CASES_SEED, cases
from ..judges.protocol import Judges
from ..judges.vectors import read_judges
from ..once import once
from ..stage_names import NETWORK_STAGES
from ..stages import train_stage
from ..world.dataset import data_steps
from .draw import drawing
from .folders import WorkFolders, hash_of_plan
from .measure import measure
from .plan import ExperimentPlan, load_rows
from .results import CURVES, RESULTS, append_line, read_lines
from .stage_settings import row_stages, shared_settings

__all__ = ["reproduce"]

logger = logging.getLogger(__name__)


def reproduce(
    plan: ExperimentPlan, root: Path, rows: Sequence[str] | None = None, seeds: Sequence[int] | None = None
) -> Path:
    """Do all work that is not finished and return the file of the results.

    Several plans may share the folder: a row counts as measured only if its record carries the plan's hash and names
    the run that the row's own settings lead to.

    Args:
        plan: sizes.
        root: folder of everything that is made.
        rows: names of rows; None: those of the plan.
        seeds: None: those of the plan.

    Raises:
        KeyboardInterrupt: a training was stopped; the same call continues it.
    """
    folders, results = WorkFolders(root, plan), root / RESULTS
    chosen = load_rows(list(rows or plan.rows))
    base = _shared(plan, folders)
    judges = read_judges(folders.judges, folders.weights)
    hashed = hash_of_plan(plan)
    todo = []
    for seed in seeds or plan.seeds:
        for name, row in chosen.items():
            stages = row_stages(plan, folders, row, seed, base)
            record = {"row": name, "seed": seed, "plan": hashed, "run": _last(stages).loop.run_dir.parent.name}
            if not _is_known(record, results):
                todo.append((record, stages))
    for number, (record, stages) in enumerate(todo, start=1):
        logger.info("row %s, seed %d (%d of %d)", record["row"], record["seed"], number, len(todo))
        append_line(results, {**record, **_measured(plan, root, record, stages, judges)})
    return results


def _is_known(record: Mapping[str, Any], file: Path) -> bool:
    """Whether a file has a record of the same row, seed, plan and run; the first versions wrote only row and seed."""
    return any(all(known.get(name) == value for name, value in record.items()) for known in read_lines(file))


def _shared(plan: ExperimentPlan, folders: WorkFolders) -> Path:
    """Make what all rows share and return the folder of the base."""
    for seed, folder in enumerate(folders.data, start=1):
        for name, write in data_steps(folder, plan.pictures, plan.triplets, seed, plan.improvised).items():
            once(folder, name, write)
    for stage in NETWORK_STAGES:
        network = shared_settings(plan, folders, stage)
        once(folders.weights, stage, partial(_train_whole, stage, network, network.loop))
    judges = shared_settings(plan, folders, "judges")
    once(folders.judges, "judges", partial(_train_whole, "judges", judges, judges.style, judges.identity))
    base = shared_settings(plan, folders, "base")
    _train("base", base)
    return base.folder


def _train(stage: str, config: TrainConfig) -> None:
    """Train one of the trainer's stages and write its files, unless that is done."""

    def make() -> None:
        _train_whole(stage, config, config.loop)
        export_run(config.loop.run_dir)  # the files may lack where the run was killed after its last checkpoint

    once(config.loop.run_dir.parent, "trained", make)


def _train_whole(stage: str, settings: Any, *loops: LoopConfig) -> None:
    """Train a stage and make sure that none of its runs was stopped on the way."""
    logger.info("stage %s", stage)
    train_stage(stage, settings)
    for loop in loops:
        found = latest(loop.run_dir)
        done = 0 if found is None else found.step
        if done < loop.steps:
            raise KeyboardInterrupt(f"{loop.run_dir} was stopped at step {done}; the same command continues it")


def _measured(
    plan: ExperimentPlan,
    root: Path,
    record: Mapping[str, Any],
    stages: Mapping[str, TrainConfig],
    judges: Judges,
) -> dict[str, Any]:
    """Train a row, draw with it and return the judges' numbers, and the time and hardware."""
    for stage, config in stages.items():
        _train(stage, config)
    began = time.monotonic()
    last = _last(stages)
    held_out = cases(plan.cases, CASES_SEED)
    numbers = measure(drawing(last, last.folder, plan.sample_steps, plan.cfg), judges, held_out)
    _curve(plan, root, record, last, judges)
    return {
        "steps": {stage: config.loop.steps for stage, config in stages.items()},
        "cases": plan.cases,
        "seconds": {
            "training": round(sum(time_spent(stage.loop.run_dir) for stage in stages.values())),
            "measuring": round(time.monotonic() - began),
        },
        "hardware": hardware(),
        "numbers": numbers,
    }


def _curve(plan: ExperimentPlan, root: Path, record: Mapping[str, Any], stage: TrainConfig, judges: Judges) -> None:
    """Measure every checkpoint that a run with the reward has kept: do the judges agree with the reward?"""
    if stage.loop.keep_every is None:
        return
    few = cases(max(24, plan.cases // 2), CASES_SEED + 1)
    for step in [found.step for found in checkpoints(stage.loop.run_dir) if found.step % stage.loop.keep_every == 0]:
        point = {**record, "step": step}
        if not _is_known(point, root / CURVES):
            folder = stage.folder / f"step-{step}"
            export_run(stage.loop.run_dir, step, out=folder)
            numbers = measure(drawing(stage, folder, plan.sample_steps, plan.cfg), judges, few, modes=("joint",))
            append_line(root / CURVES, {**point, **numbers["joint"]})


def _last(stages: Mapping[str, TrainConfig]) -> TrainConfig:
    return list(stages.values())[-1]


def hardware() -> str:
    """Return the hardware in words."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"{os.cpu_count()} CPU cores ({platform.machine()}), {torch.backends.cpu.get_cpu_capability()}"
