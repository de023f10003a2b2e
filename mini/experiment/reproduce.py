"""`uso mini reproduce`: everything from nothing, or from where it stopped, to a table of measured rows.

World, encoders, judges and base are made once; then every row is trained and measured for every seed, and its numbers
are appended to `results.jsonl` before the next one begins. What is there already is not done again.
"""

from __future__ import annotations

import logging
import os
import platform
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from ...trainer.engine.checkpoint import checkpoints, latest
from ...trainer.engine.log import time_spent
from ...trainer.export import export_run
from ...trainer.recipe import TrainConfig
from ...trainer.train import train
from ..judges.networks import load_judges
from ..judges.training import JudgeRun, train_judges
from ..model import load_descriptor
from ..training.runs import RUNS
from ..world.dataset import CAPTIONS, write_data
from .draw import drawing
from .measure import CASES_SEED, Judges, cases, measure
from .plan import Plan, Row, load_rows
from .results import CURVES, RESULTS, append_line, read_lines
from .stages import Workplace, row_stages, shared_settings

__all__ = ["reproduce"]

logger = logging.getLogger(__name__)


def reproduce(plan: Plan, root: Path, rows: Sequence[str] | None = None, seeds: Sequence[int] | None = None) -> Path:
    """Do what is not done yet and return the file of the results.

    Args:
        plan: sizes.
        root: folder of everything that is made.
        rows: names of rows; None: those of the plan.
        seeds: None: those of the plan.
    """
    place = Workplace(root)
    results = root / RESULTS
    wanted = load_rows(list(rows or plan.rows))
    base = _shared(plan, place)
    judges = _judges(place)
    known = {(record["row"], record["seed"]) for record in read_lines(results)}
    todo = [(seed, name) for seed in seeds or plan.seeds for name in wanted if (name, seed) not in known]
    for number, (seed, name) in enumerate(todo, start=1):
        logger.info("row %s, seed %d (%d of %d)", name, seed, number, len(todo))
        record = _row(plan, place, name, wanted[name], seed, base, judges)
        append_line(results, record)
    return results


def _shared(plan: Plan, place: Workplace) -> Path:
    """Make what all rows share and return the folder of the base."""
    for seed, folder in enumerate(place.data, start=1):
        if not (folder / CAPTIONS).is_file():
            logger.info("drawing %d pictures and %d triplets into %s", plan.pictures, plan.triplets, folder)
            write_data(folder, plan.pictures, plan.triplets, seed, plan.improvised)
    for stage, (kind, train_stage) in RUNS.items():
        settings = shared_settings(plan, place, stage, kind)
        if not _finished(settings.loop.run_dir, settings.loop.steps):
            train_stage(settings)
    judges = shared_settings(plan, place, "judges", JudgeRun)
    if not _finished(judges.identity.run_dir, judges.identity.steps):
        logger.info("judges: %s", train_judges(judges))
    base = shared_settings(plan, place, "base", TrainConfig)
    _train(base)
    return base.out


def _judges(place: Workplace) -> Judges:
    style, identity = load_judges(place.judges)
    return Judges(style, identity, load_descriptor(place.weights))


def _row(plan: Plan, place: Workplace, name: str, row: Row, seed: int, base: Path, judges: Judges) -> dict[str, Any]:
    stages = row_stages(plan, place, row, seed, base)
    for stage in stages.values():
        _train(stage)
    began = time.monotonic()
    last = list(stages.values())[-1]
    held_out = cases(plan.cases, CASES_SEED)
    numbers = measure(drawing(last, last.out, plan.sample_steps, plan.cfg), judges, held_out)
    _curve(plan, place, name, seed, last, judges)
    return {
        "row": name,
        "seed": seed,
        "steps": {stage: config.loop.steps for stage, config in stages.items()},
        "cases": plan.cases,
        "seconds": {
            "training": round(sum(time_spent(stage.loop.run_dir) for stage in stages.values())),
            "measuring": round(time.monotonic() - began),
        },
        "hardware": hardware(),
        "numbers": numbers,
    }


def _train(config: TrainConfig) -> None:
    if not _finished(config.loop.run_dir, config.loop.steps):
        done = train(config)
        if done < config.loop.steps:
            raise KeyboardInterrupt(f"{config.loop.run_dir} was stopped at step {done}; the same command goes on")


def _finished(run_dir: Path, steps: int) -> bool:
    found = latest(run_dir) if run_dir.is_dir() else None
    return found is not None and found.step >= steps


def _curve(plan: Plan, place: Workplace, name: str, seed: int, stage: TrainConfig, judges: Judges) -> None:
    """Measure every checkpoint that a run with the reward has kept: is the judge as pleased as the reward?"""
    if stage.loop.keep_every is None:
        return
    few = cases(max(24, plan.cases // 2), CASES_SEED + 1)
    for step in [found.step for found in checkpoints(stage.loop.run_dir) if found.step % stage.loop.keep_every == 0]:
        folder = stage.out / f"step-{step}"
        export_run(stage.loop.run_dir, step, out=folder)
        numbers = measure(drawing(stage, folder, plan.sample_steps, plan.cfg), judges, few, modes=("joint",))
        append_line(place.root / CURVES, {"row": name, "seed": seed, "step": step, **numbers["joint"]})


def hardware() -> str:
    """Return in words what the numbers were made on."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"{os.cpu_count()} CPU cores ({platform.machine()}), {torch.backends.cpu.get_cpu_capability()}"
